"""Reading CAD files, STEP and IGES, through Open CASCADE (the package `cascadio`, extra `cad`)."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from triform.geometry.mesh import MeshError

# Processor time that a conversion may take: real files of a megabyte take one or two seconds.
SECONDS_PER_FILE, SECONDS_PER_MEGABYTE = 20, 10
# By the clock it may take this many times as long, on a busy machine.
PATIENCE = 10
# What Python is given to run; `cad_child.py` takes the rest of the words.
COMMAND = ("-m", "triform.geometry.cad_child")


def convert_cad(data: bytes, file_type: str) -> tuple[bytes, str, float]:
    """Turn a CAD file into GLB: parts placed as the assembly places them, colours kept.

    Args:
        data: content of the file.
        file_type: "step" or "iges".

    Returns:
        The GLB file, its type "glb", and the number that brings its coordinates to metres,
        whatever unit the CAD file has. The axes are the file's own (mostly +Z up).

    Raises:
        MeshError: damaged, or `cascadio` is not installed.
    """
    name = file_type.upper()
    if importlib.util.find_spec("cascadio") is None:
        raise MeshError(f"{name} files need the package cascadio: pip install 'triform[cad]'")
    # Told here, before a process is started for it.
    is_step = data[:1000].lstrip().startswith(b"ISO-10303-21")
    is_iges = data[72:73] in (b"S", b"C")
    if not (is_step if file_type == "step" else is_iges):
        raise MeshError(f"damaged, or no {name} file")
    limit = SECONDS_PER_FILE + SECONDS_PER_MEGABYTE * len(data) // 2**20
    with TemporaryDirectory(prefix="triform-cad-") as folder:
        source, target = Path(folder, "source"), Path(folder, "target.glb")
        source.write_bytes(data)
        try:
            answer = subprocess.run(
                [sys.executable, *COMMAND, str(source), str(target), file_type, str(limit)],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=limit * PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise MeshError(f"not read within {limit * PATIENCE:.0f} s") from None
        if answer.returncode < 0:
            raise MeshError(f"damaged {name} file: its reader crashed, or took more than {limit} s")
        if answer.returncode > 0 or not target.is_file():
            raise MeshError(f"damaged {name} file, or nothing in it has faces")
        # Of the two readers behind it, one gives metres and one millimetres.
        return target.read_bytes(), "glb", 1.0 if file_type == "step" else 0.001
