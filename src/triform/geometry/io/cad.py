"""Conversion of CAD files, STEP and IGES, by Open CASCADE (package `cascadio`, extra `cad`)."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from triform.geometry.mesh import MeshError

# Limit of processor time; real files of a megabyte take one or two seconds.
SECONDS_PER_FILE, SECONDS_PER_MEGABYTE = 20, 10
# Limit of wall-clock time as a multiple of it, for busy machines.
WALL_CLOCK_FACTOR = 10
# Arguments of the Python interpreter; those of `cad_subprocess.main` follow.
COMMAND = ("-m", "triform.geometry.io.cad_subprocess")


def convert_cad(data: bytes, file_type: str) -> tuple[bytes, str, float]:
    """Convert a CAD file to GLB with the transforms and colours of its assembly.

    Args:
        data: content of the file.
        file_type: "step" or "iges".

    Returns:
        The GLB file, its type "glb", and the factor of its coordinates to metres, whatever unit the
        CAD file has. The axes are the file's own (mostly +Z up).

    Raises:
        MeshError: damaged, or `cascadio` is not installed.
    """
    name = file_type.upper()
    if importlib.util.find_spec("cascadio") is None:
        raise MeshError(f"{name} files need the package cascadio: pip install 'triform[cad]'")
    # Checked before a process is started.
    is_step = data[:1000].lstrip().startswith(b"ISO-10303-21")
    is_iges = data[72:73] in (b"S", b"C")
    if not (is_step if file_type == "step" else is_iges):
        raise MeshError(f"damaged, or no {name} file")
    cpu_seconds = SECONDS_PER_FILE + SECONDS_PER_MEGABYTE * len(data) // 2**20
    with TemporaryDirectory(prefix="triform-cad-") as folder:
        source, target = Path(folder, "source"), Path(folder, "target.glb")
        source.write_bytes(data)
        try:
            process = subprocess.run(
                [sys.executable, *COMMAND, str(source), str(target), file_type, str(cpu_seconds)],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=cpu_seconds * WALL_CLOCK_FACTOR,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise MeshError(f"not read within {cpu_seconds * WALL_CLOCK_FACTOR:.0f} s") from None
        if process.returncode < 0:
            raise MeshError(
                f"damaged {name} file: its reader crashed, or took more than {cpu_seconds} s"
            )
        if process.returncode > 0 or not target.is_file():
            raise MeshError(f"damaged {name} file, or nothing in it has faces")
        # The STEP reader of Open CASCADE returns metres, the IGES reader millimetres.
        return target.read_bytes(), "glb", 1.0 if file_type == "step" else 0.001
