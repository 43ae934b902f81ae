"""Furniture libraries of Sweet Home 3D: ``.sh3f`` files, zip archives of models and a catalogue.

The catalogue is a Java properties file (latin-1 with ``\\uXXXX`` escapes), numbered
``name#1=Washbasin``, with one more file per language. Sizes are in centimetres and are part of the
model: the program stretches every mesh to them, and so do we.
"""

from __future__ import annotations

import dataclasses
import hashlib
import posixpath
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from triform.base.errors import UserError
from triform.geometry.load import load_mesh
from triform.geometry.mesh import Mesh, MeshError

CATALOGUE = "PluginFurnitureCatalog"
MAX_MEMBER_BYTES = 256 * 2**20
# Tags that name where a model came from, not what it is.
_SOURCE_TAGS = frozenset({"blend swap", "scpts"})
_NO_ROTATION = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_PAIR = re.compile(r"((?:\\.|[^\s=:\\])+)\s*[=:\s]\s*(.*)", re.DOTALL)
_ENTRY = re.compile(r"(\w+)#(\d+)")


@dataclasses.dataclass(frozen=True)
class LibraryModel:
    """One model of a library.

    Attributes:
        library: the ``.sh3f`` file.
        member: name of the mesh inside it; ``icon`` is the preview's, "" where there is none.
        object_id: the catalogue's own id, unique within it.
        names: (language, name) pairs, English ("en") first, the others by language code.
        tags: English tags that describe the thing.
        category: English category.
        licence: the library's licence line.
        size: width, height, depth in centimetres, along x, y, z.
        rotation: nine floats, row by row, applied before the mesh is stretched to ``size``.
        fingerprint: changes when anything does that the mesh depends on.
    """

    library: Path
    member: str
    icon: str
    object_id: str
    names: tuple[tuple[str, str], ...]
    tags: tuple[str, ...]
    category: str
    licence: str
    size: tuple[float, float, float]
    rotation: tuple[float, ...]
    fingerprint: str

    def load(self, *, appearance: bool = False) -> Mesh:
        """Reads the mesh: turned upright, fronts to +Z, in centimetres, with its colours."""
        with _open(self.library) as archive:
            data = _read(archive, self.library, self.member)
            siblings = _Siblings(archive, self.library, posixpath.dirname(self.member))
            try:
                suffix = posixpath.splitext(self.member)[1]
                mesh = load_mesh(data, suffix, siblings, appearance=appearance)
            except MeshError as error:
                raise MeshError(f"{self.library}: {self.member}: {error}") from None
        vertices = mesh.vertices @ np.array(self.rotation).reshape(3, 3).T
        low, high = vertices.min(axis=0), vertices.max(axis=0)
        extent = high - low
        # A flat mesh (a sign, a carpet) keeps its zero thickness.
        scale = np.divide(self.size, extent, out=np.ones(3), where=extent > 0)
        return dataclasses.replace(mesh, vertices=(vertices - (low + high) / 2) * scale)

    def preview(self) -> bytes | None:
        """The picture in the catalogue, as it is stored (mostly PNG), or None."""
        if not self.icon:
            return None
        with _open(self.library) as archive:
            return _read(archive, self.library, self.icon)


def read_library(path: Path) -> list[LibraryModel]:
    """Reads the catalogue of a library, in its order.

    Raises:
        UserError: not a zip, no catalogue, or an entry too large to be one.
    """
    with _open(path) as archive:
        members = {info.filename: info for info in archive.infolist()}
        if f"{CATALOGUE}.properties" not in members:
            raise UserError(
                f"{path}: no {CATALOGUE}.properties in it, so it is not a furniture library (.sh3f)"
            )
        library: dict[str, str] = {}
        entries = _entries(_read(archive, path, f"{CATALOGUE}.properties"), library)
        languages = {}
        for name in sorted(members):
            if match := re.fullmatch(rf"{CATALOGUE}_(\w+)\.properties", name):
                languages[match[1]] = _entries(_read(archive, path, name), {})
    languages = {code: texts for code, texts in languages.items() if not code.startswith("en")}
    folders: dict[str, list[zipfile.ZipInfo]] = {}
    for info in members.values():
        folders.setdefault(posixpath.dirname(info.filename), []).append(info)

    models = []
    for number, entry in sorted(entries.items()):
        member = entry.get("model", "").lstrip("/")
        if member not in members or not entry.get("name"):
            continue
        sources = sorted(
            (info.filename, info.CRC, info.file_size) for info in folders[posixpath.dirname(member)]
        )
        width, height, depth = (
            _number(entry.get(key), 1.0) for key in ("width", "height", "depth")
        )
        size = (width, height, depth)
        rotation = tuple(_number(word, 0.0) for word in entry.get("modelRotation", "").split())
        rotation = rotation if len(rotation) == 9 else _NO_ROTATION
        translated = [
            (code, texts.get(number, {}).get("name", ""))
            for code, texts in sorted(languages.items())
        ]
        not_tags = _SOURCE_TAGS | {
            library.get("name", "").lower(),
            entry.get("creator", "").lower(),
            "",
        }
        tags = [tag.strip() for tag in entry.get("tags", "").split(",")]
        icon = entry.get("icon", "").lstrip("/")
        models.append(
            LibraryModel(
                library=path,
                member=member,
                icon=icon if icon in members else "",
                object_id=entry.get("id") or f"{path.stem}#{number}",
                names=(("en", entry["name"]), *((code, name) for code, name in translated if name)),
                tags=tuple(tag for tag in tags if tag.lower() not in not_tags),
                category=entry.get("category", ""),
                licence=" ".join(library.get("license", "").split()),
                size=size,
                rotation=rotation,
                fingerprint=hashlib.sha256(
                    repr((member, sources, size, rotation)).encode()
                ).hexdigest(),
            )
        )
    return models


def parse_properties(data: bytes) -> Iterator[tuple[str, str]]:
    """Yields the (key, value) pairs of a Java properties file, which is latin-1 by definition."""
    pending = ""
    for raw in data.decode("latin-1").splitlines():
        line = pending + raw.lstrip()
        pending = ""
        if not line or line[0] in "#!":
            continue
        if (
            len(line) - len(line.rstrip("\\"))
        ) % 2:  # an odd number of backslashes continues the line
            pending = line[:-1]
            continue
        if match := _PAIR.match(line):
            yield _ESCAPE.sub(_unescape, match[1]), _ESCAPE.sub(_unescape, match[2]).strip()


def _unescape(match: re.Match[str]) -> str:
    code = match[1]
    if len(code) == 5:
        return chr(int(code[1:], 16))
    return {"n": "\n", "t": "\t", "r": "\r", "f": "\f"}.get(code, code)


def _entries(data: bytes, library: dict[str, str]) -> dict[int, dict[str, str]]:
    """Sorts ``key#number=value`` by number; pairs without a number go into ``library``."""
    entries: dict[int, dict[str, str]] = {}
    for key, value in parse_properties(data):
        if match := _ENTRY.fullmatch(key):
            entries.setdefault(int(match[2]), {})[match[1]] = value
        else:
            library[key] = value
    return entries


def _number(text: str | None, default: float) -> float:
    try:
        value = float(text or "")
    except ValueError:
        return default
    return value if np.isfinite(value) else default


def _open(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise UserError(
            f"{path}: not a readable furniture library (.sh3f is a zip archive): {error}"
        ) from None


def _read(archive: zipfile.ZipFile, path: Path, member: str) -> bytes:
    """Reads one member; the size in the archive's index may lie, so what comes out is limited."""
    try:
        with archive.open(member) as stream:
            data = stream.read(MAX_MEMBER_BYTES + 1)
    except (
        KeyError,
        zipfile.BadZipFile,
        OSError,
        RuntimeError,
        NotImplementedError,
        EOFError,
        zlib.error,
    ) as error:
        raise UserError(f"{path}: {member} cannot be read from it: {error}") from None
    if len(data) > MAX_MEMBER_BYTES:
        raise UserError(
            f"{path}: {member} unpacks to more than {MAX_MEMBER_BYTES // 2**20} MiB; left alone"
        )
    return data


class _Siblings:
    """Gives a mesh the material and texture files that lie beside it in the archive."""

    def __init__(self, archive: zipfile.ZipFile, path: Path, folder: str) -> None:
        self._archive, self._path, self._folder = archive, path, folder
        self._names = {name.lower(): name for name in archive.namelist()}

    def get(self, name: str, /) -> bytes | None:
        wanted = posixpath.normpath(posixpath.join(self._folder, name.replace("\\", "/").strip()))
        found = self._names.get(wanted.lower()) or self._renamed(wanted.lower())
        return None if found is None else _read(self._archive, self._path, found)

    def _renamed(self, wanted: str) -> str | None:
        """The file for a name that fits none, if only one name and one such file are left over."""
        inside = {name for name in self._names if posixpath.dirname(name) == self._folder.lower()}
        libraries = [name for name in inside if name.endswith(".mtl")]
        if wanted.endswith(".mtl") and len(libraries) == 1:
            return self._names[libraries[0]]
        pictures = {name for name in inside if name.endswith((".png", ".jpg", ".jpeg"))}
        named = set()
        for library in libraries:
            for line in _read(self._archive, self._path, self._names[library]).splitlines():
                if line.strip().lower().startswith(b"map_kd"):
                    text = line.split(maxsplit=1)[-1].decode("utf-8", "replace").replace("\\", "/")
                    full = posixpath.join(self._folder, text.strip())
                    named.add(posixpath.normpath(full).lower())
        over, lost = pictures - named, named - pictures
        return self._names[over.pop()] if len(over) == 1 and lost == {wanted} else None
