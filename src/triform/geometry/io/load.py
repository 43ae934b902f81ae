"""Reading of mesh files of any common format.

Files are untrusted. Every defect ends in a `MeshError` of one line; nothing outside the folder of
the model is read, nothing is downloaded, and no memory is allocated by the counts of a header.
"""

from __future__ import annotations

import os
import stat
import warnings
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from triform.geometry.io.cad import convert_cad
from triform.geometry.io.gltf.read import read_gltf
from triform.geometry.io.limits import check_bytes
from triform.geometry.io.obj import read_obj
from triform.geometry.io.off import read_off
from triform.geometry.io.ply.read import read_ply
from triform.geometry.io.stl import read_stl
from triform.geometry.io.text import file_name_spellings, match_key
from triform.geometry.io.threemf import read_3mf
from triform.geometry.io.up_axis import Up, up_axis, upright
from triform.geometry.io.vrml.read import read_vrml
from triform.geometry.mesh import Mesh, MeshError, weld

FORMATS = ("obj", "off", "stl", "ply", "glb", "gltf", "dae", "3mf", "wrl", "step", "iges")
# Other suffixes of the formats; VRML may be compressed by gzip under any of its names.
SUFFIX_ALIASES = {"vrml": "wrl", "wrz": "wrl", "stp": "step", "igs": "iges"}
MAX_FILE_SIZE = 2**30
# In lower case. Binary STL may begin with any words, those of other formats as well.
_FIRST_BYTES = {b"gltf\2\0\0\0": "glb", b"ply\n": "ply", b"ply\r": "ply", b"#vrml v": "wrl"}


@runtime_checkable
class FileResolver(Protocol):
    """Source of the files that a model refers to; a dict of names to bytes is one."""

    def get(self, name: str, /) -> bytes | None:
        """Return the content of a file, or None if it is missing."""
        ...


@runtime_checkable
class BinaryFile(Protocol):
    """An open binary file."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes."""
        ...


def load_mesh(
    source: str | os.PathLike[str] | bytes | BinaryFile,
    file_type: str | None = None,
    resolver: FileResolver | None = None,
    *,
    appearance: bool = False,
    name: str = "mesh",
    up: Up = "y",
) -> Mesh:
    """Read a mesh with the colours of its faces.

    All parts of a scene become one mesh under the scene's transforms; equal vertices are merged.

    Args:
        source: a file, its bytes, or an open binary file.
        file_type: one of `FORMATS`; read from the file's suffix where it is not given.
        resolver: source of the materials and textures that the model names; the model's folder,
            and nothing outside it, by default.
        appearance: read materials, textures and vertex colours as well.
        name: name in messages, where the source is no file.
        up: the file's upright axis, which becomes +Y; "auto" is what the file declares, else what
            its format has.

    Returns:
        The mesh in the file's own units, and by default its own axes; those of COLLADA are
        turned to +Y up, as it declares them. `face_colors` and `appearance` are None where the
        file has no colours.

    Raises:
        MeshError: the file and what is wrong with it, in one line.
    """
    try:
        if isinstance(source, (str, os.PathLike)):
            path = Path(source)
            name = str(path)
            file_type = _file_type(file_type) if file_type else mesh_format(path)
            data = read_regular_file(path)
            resolver = resolver if resolver is not None else FolderResolver(path.parent)
        else:
            file_type = _file_type(file_type or "")
            data = source if isinstance(source, bytes) else source.read(MAX_FILE_SIZE + 1)
            if len(data) > MAX_FILE_SIZE:
                raise MeshError(f"larger than {MAX_FILE_SIZE} bytes; simplify the model first")
        mesh = _read(data, file_type, resolver, name, appearance=appearance)
        return upright(mesh, up_axis(data, file_type) if up == "auto" else up)
    except MeshError as error:
        raise MeshError(f"{name}: {_single_line(error)}") from None


class FolderResolver:
    """Files inside a folder; links that lead out of it count as missing."""

    def __init__(self, folder: Path) -> None:
        """Resolve names relative to `folder`."""
        self.folder = folder

    def get(self, name: str, /) -> bytes | None:
        """Return the content of a file inside the folder, or None."""
        try:
            root = self.folder.resolve()
            path = _existing_path(root, name.strip().replace("\\", "/")).resolve()
            return read_regular_file(path) if path.is_relative_to(root) else None
        except (MeshError, OSError, ValueError, RuntimeError):
            return None


def _existing_path(root: Path, name: str) -> Path:
    """Return the path of a name, also where the letter case of a part differs on disk."""
    path = root / name
    if path.exists() or Path(name).is_absolute():
        return path
    path = root
    for part in Path(name).parts:
        exact = path / part
        if not exact.exists() and path.is_relative_to(root):
            exact = path / _names_in(path, path.stat().st_mtime_ns).get(match_key(part), part)
        path = exact
    return path


@lru_cache(maxsize=64)
def _names_in(folder: Path, modified: int) -> dict[str, str]:
    """Names in a folder by the key that ignores letter case; read once while it is unchanged."""
    return {match_key(name): name for name in sorted(os.listdir(folder), reverse=True)}


def read_regular_file(path: Path) -> bytes:
    """Read a regular file of at most 1 GiB.

    Raises:
        MeshError: another kind of file, too large, or unreadable.
    """
    try:
        # Checked before it is opened, because opening a pipe would block.
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise MeshError("not a file that can be read; name a mesh file")
        if status.st_size > MAX_FILE_SIZE:
            raise MeshError(f"larger than {MAX_FILE_SIZE} bytes; simplify the model first")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise MeshError(f"cannot be read ({reason})") from None


def mesh_format(path: Path) -> str:
    """One of `FORMATS`, by the name of a file.

    Raises:
        MeshError: its suffix is that of no mesh format.
    """
    is_gzipped = path.name.lower().endswith((".wrl.gz", ".vrml.gz"))
    return _file_type(path.suffixes[-2] if is_gzipped else path.suffix)


def _file_type(suffix: str) -> str:
    file_type = suffix.lower().lstrip(".")
    file_type = SUFFIX_ALIASES.get(file_type, file_type)
    if file_type not in FORMATS:
        raise MeshError(f"{suffix!r} is no mesh format; known are {', '.join(FORMATS)}")
    return file_type


def _read(
    data: bytes, file_type: str, resolver: FileResolver | None, name: str, *, appearance: bool
) -> Mesh:
    if not data.strip():
        raise MeshError("the file is empty")
    check_bytes(len(data), file_type)
    _check_content(data[:200].lstrip().lower(), file_type)
    files = _SafeResolver(resolver)
    scale = 1.0
    if file_type in ("step", "iges"):
        data, file_type, scale = convert_cad(data, file_type)
    try:
        # Damaged numbers make numpy warn; the mesh is checked afterwards.
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            mesh = _read_parts(data, file_type, files, name, appearance=appearance)
            if scale != 1:
                mesh = replace(mesh, vertices=mesh.vertices * scale)
            if not appearance and mesh.appearance is not None:
                mesh = replace(mesh, appearance=None)
            mesh = weld(mesh)
    except MeshError:
        raise
    except Exception as error:  # damaged trees of JSON and XML fail anywhere in the readers
        raise MeshError(
            f"damaged, or no {file_type.upper()} file ({type(error).__name__}: {error})"
        ) from None
    # The first faces answer for most files.
    if not (Mesh(mesh.vertices, mesh.faces[:100]).face_areas.any() or mesh.face_areas.any()):
        raise MeshError(
            f"there are no faces in it: all {len(mesh.faces)} are degenerate, without an area"
        )
    return mesh


def _check_content(start: bytes, file_type: str) -> None:
    """Check that a file is not what downloads leave in place of a model.

    Raises:
        MeshError: what it is instead.
    """
    if start.startswith(b"version https://git-lfs"):
        raise MeshError("a pointer of Git LFS in place of the model; run git lfs pull")
    if start.startswith((b"<!doctype html", b"<html")):
        raise MeshError("a web page in place of the model; download it again")
    if start.startswith(b"\x1f\x8b") and file_type != "wrl":
        raise MeshError("compressed by gzip; unpack it first")
    if start.startswith(b"pk\x03\x04") and file_type != "3mf":
        raise MeshError("a ZIP archive in place of the model; unpack it first")
    for mark, other in _FIRST_BYTES.items():
        if start.startswith(mark) and file_type not in (other, "gltf"):
            raise MeshError(
                f"a {other.upper()} file, not {file_type.upper()} as its name says; rename it to "
                f"end in .{other}"
            )


def _read_parts(
    data: bytes, file_type: str, files: _SafeResolver, name: str, *, appearance: bool
) -> Mesh:
    """Read a file by the reader of its format."""
    match file_type:
        case "obj":
            return read_obj(data, files.find, appearance=appearance, name=name)
        case "off":
            return read_off(data, name)
        case "wrl":
            return read_vrml(data, files.find, appearance=appearance, name=name)
        case "stl":
            return read_stl(data, name=name)
        case "ply":
            return read_ply(data, files.find, name=name)
        case "3mf":
            return read_3mf(data, name=name)
        case "dae":
            # Imported here because pycollada is slow to import.
            from triform.geometry.io.dae import read_dae

            return read_dae(data, files.find, name=name)
        case _:
            return read_gltf(data, files.find, name=name)


class _SafeResolver:
    """A resolver whose exceptions count as missing files."""

    def __init__(self, source: FileResolver | None) -> None:
        self.source = source

    def find(self, name: str) -> bytes | None:
        contents = (self._try_get(spelling) for spelling in file_name_spellings(name))
        return next((content for content in contents if content is not None), None)

    def _try_get(self, name: str) -> bytes | None:
        try:
            return self.source.get(name) if self.source is not None else None
        except (KeyError, OSError, ValueError):
            return None


def _single_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return "".join(c if c.isprintable() else "?" for c in text[:200])
