"""Reading a mesh file of any common format, whatever is in it.

Files come from strangers. Whatever is wrong with one ends in a `MeshError` of one line; nothing is
read outside the folder of the model, nothing is fetched from a network, and a header's promises are
never trusted with memory.
"""

from __future__ import annotations

import os
import stat
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from triform.geometry.cad import convert_cad
from triform.geometry.limits import check_bytes, check_size
from triform.geometry.mesh import Mesh, MeshError, weld
from triform.geometry.obj import read_obj
from triform.geometry.off import read_off
from triform.geometry.vrml.read import read_vrml

FORMATS = ("obj", "off", "stl", "ply", "glb", "gltf", "dae", "3mf", "wrl", "step", "iges")
# Other suffixes of theirs; VRML may be packed by gzip, under any of its names.
_ALIASES = {"vrml": "wrl", "wrz": "wrl", "stp": "step", "igs": "iges"}
LARGEST_FILE = 2**30


@runtime_checkable
class Companions(Protocol):
    """Where the files that a model refers to come from; a dict of names to bytes is one."""

    def get(self, name: str, /) -> bytes | None:
        """Return the content of a file, or None where there is none."""
        ...


@runtime_checkable
class Readable(Protocol):
    """An open binary file."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes."""
        ...


def load_mesh(
    source: str | os.PathLike[str] | bytes | Readable,
    file_type: str | None = None,
    resolver: Companions | None = None,
    *,
    appearance: bool = False,
) -> Mesh:
    """Read a mesh with the colours of its faces.

    All parts of a scene become one mesh, placed as the scene places them; vertices at the very
    same place become one.

    Args:
        source: a file, its bytes, or an open binary file.
        file_type: one of `FORMATS`; read from the file's suffix where it is not given.
        resolver: gives the materials and textures that the model names. By default they are read
            from the model's folder, and never from outside it.
        appearance: keep materials, textures and vertex colours as well, for pictures and for
            coloured points.

    Returns:
        The mesh in the file's own units and axes. `face_colors` and `appearance` are None where
        the file has no colours.

    Raises:
        MeshError: the file and what is wrong with it, in one line.
    """
    name = "mesh"
    try:
        if isinstance(source, (str, os.PathLike)):
            path = Path(source)
            name = str(path)
            file_type = _known(file_type or _suffix(path))
            data = read_regular_file(path)
            resolver = resolver if resolver is not None else Folder(path.parent)
        else:
            file_type = _known(file_type or "")
            data = source if isinstance(source, bytes) else source.read(LARGEST_FILE + 1)
            if len(data) > LARGEST_FILE:
                raise MeshError(f"larger than {LARGEST_FILE} bytes; simplify the model first")
        return _read(data, file_type, resolver, name, appearance=appearance)
    except MeshError as error:
        raise MeshError(f"{name}: {_one_line(error)}") from None


class Folder:
    """The files below one folder; links that lead out of it count as missing."""

    def __init__(self, folder: Path) -> None:
        """Allow reading below `folder`."""
        self.folder = folder

    def get(self, name: str, /) -> bytes | None:
        """Return the content of a file below the folder, or None."""
        try:
            root = self.folder.resolve()
            path = (root / name.strip().replace("\\", "/")).resolve()
            return read_regular_file(path) if path.is_relative_to(root) else None
        except (MeshError, OSError, ValueError, RuntimeError):
            return None


def read_regular_file(path: Path) -> bytes:
    """Read a whole file, but no folder, device or pipe, and nothing beyond 1 GiB.

    Raises:
        MeshError: what stands in the way.
    """
    try:
        # Looked at before it is opened: opening a pipe would wait for ever.
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise MeshError("not a file that can be read; name a mesh file")
        if status.st_size > LARGEST_FILE:
            raise MeshError(f"larger than {LARGEST_FILE} bytes; simplify the model first")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise MeshError(f"cannot be read ({reason})") from None


def _suffix(path: Path) -> str:
    packed = path.name.lower().endswith((".wrl.gz", ".vrml.gz"))
    return path.suffixes[-2] if packed else path.suffix


def _known(suffix: str) -> str:
    file_type = suffix.lower().lstrip(".")
    file_type = _ALIASES.get(file_type, file_type)
    if file_type not in FORMATS:
        raise MeshError(f"{suffix!r} is no mesh format; known are {', '.join(FORMATS)}")
    return file_type


def _read(
    data: bytes, file_type: str, resolver: Companions | None, name: str, *, appearance: bool
) -> Mesh:
    if not data.strip():
        raise MeshError("the file is empty")
    check_bytes(len(data), file_type)
    companions = _Companions(resolver)
    if file_type == "obj":
        return weld(read_obj(data, companions.find, appearance=appearance, name=name))
    if file_type == "off":
        return weld(read_off(data))
    if file_type == "wrl":
        return weld(read_vrml(data, companions.find, appearance=appearance, name=name))
    scale = 1.0
    if file_type in ("step", "iges"):
        data, file_type, scale = convert_cad(data, file_type)
    check_size(data, file_type)
    try:
        # Damaged numbers make numpy warn; what they lead to is checked below.
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            # trimesh takes half a second to import: only who reads such a file waits for it.
            from triform.geometry.scene import read_scene

            mesh = read_scene(data, file_type, companions.find, appearance=appearance, name=name)
            return weld(mesh if scale == 1 else replace(mesh, vertices=mesh.vertices * scale))
    except MeshError:
        raise
    except Exception as error:  # the readers raise anything on damaged files
        raise MeshError(
            f"damaged, or no {file_type.upper()} file ({type(error).__name__}: {error})"
        ) from None


class _Companions:
    """Ask a `Companions` without trusting it."""

    def __init__(self, source: Companions | None) -> None:
        self.source = source

    def find(self, name: str) -> bytes | None:
        found = self._get(name)
        # Written on another machine, a name may begin with a path that is only there.
        alone = name.replace("\\", "/").rpartition("/")[2]
        return found if found is not None or alone == name else self._get(alone)

    def _get(self, name: str) -> bytes | None:
        try:
            return self.source.get(name) if self.source is not None else None
        except (KeyError, OSError, ValueError):
            return None


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return "".join(c if c.isprintable() else "?" for c in text[:200])
