"""Furniture libraries of Sweet Home 3D: ``.sh3f`` files, zip archives of models and a catalogue.

The catalogue is a Java properties file (latin-1 with ``\\uXXXX`` escapes), numbered
``name#1=Washbasin``, with one more file per language. Sizes are in centimetres and are part of the
model: the program stretches every mesh to them, and so do we.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import os
import posixpath
import re
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from triform.base.archive import open_zip
from triform.base.errors import UserError
from triform.geometry.load import load_mesh
from triform.geometry.mesh import Mesh, MeshError

CATALOGUE = "PluginFurnitureCatalog"
# Of one file; of one catalogue, of which there is one for each language; ten times what the
# largest known library has of files and models.
MAX_MEMBER_BYTES = 128 * 2**20
_MAX_CATALOGUE_BYTES = 4 * 2**20
_MAX_LANGUAGES = 64
_MAX_MEMBERS = 20_000
_MAX_MODELS = 20_000
# Folders of more files are named by a hash in the fingerprints of their models.
_FLAT_FOLDER = 500
# Material libraries of one model that are searched for names.
_MAX_MATERIALS = 100
_PACKED_BY = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2}
_READ_KEYS = frozenset(
    [
        "category", "creator", "depth", "height", "icon", "id", "model", "modelRotation", "name",
        "tags", "width",
    ]
)  # fmt: skip
# Tags that name where a model came from, not what it is.
_SOURCE_TAGS = frozenset({"blend swap", "scpts"})
_NO_ROTATION = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_PAIR = re.compile(r"((?:\\.|[^\s=:\\])+)\s*[=:\s]\s*(.*)", re.DOTALL)
_ENTRY = re.compile(r"(\w+)#(\d{1,9})")


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

    def read_member(self) -> bytes:
        """The mesh file as it is in the archive."""
        with _open(self.library) as archive:
            return _read(archive, self.library, self.member)

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
        data = _read(archive, path, f"{CATALOGUE}.properties", _MAX_CATALOGUE_BYTES)
        entries = _entries(data, path, library)
        languages: dict[str, dict[int, str]] = {}
        for name in sorted(members):
            match = re.fullmatch(rf"{CATALOGUE}_(\w+)\.properties", name)
            if match is None or match[1].startswith("en"):
                continue
            if len(languages) == _MAX_LANGUAGES:
                raise UserError(f"{path}: catalogues in more than {_MAX_LANGUAGES} languages")
            texts = _entries(_read(archive, path, name, _MAX_CATALOGUE_BYTES), path, {})
            languages[match[1]] = {
                number: entry["name"] for number, entry in texts.items() if entry.get("name")
            }
    folders = _folders(members.values())
    models = []
    for number, entry in sorted(entries.items()):
        member = entry.get("model", "").lstrip("/")
        if member not in members or not entry.get("name"):
            continue
        width, height, depth = (
            _number(entry.get(key), 1.0) for key in ("width", "height", "depth")
        )
        size = (width, height, depth)
        rotation = tuple(_number(word, 0.0) for word in entry.get("modelRotation", "").split())
        rotation = rotation if len(rotation) == 9 else _NO_ROTATION
        translated = [(code, texts.get(number, "")) for code, texts in sorted(languages.items())]
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
                    f"({member!r}, {folders[posixpath.dirname(member)]}, {size!r}, "
                    f"{rotation!r})".encode("utf-8", "surrogatepass")
                ).hexdigest(),
            )
        )
    return models


def _folders(members: Iterable[zipfile.ZipInfo]) -> dict[str, str]:
    """Folder -> what changes when any file in it does."""
    files: dict[str, list[tuple[str, int, int]]] = {}
    for info in members:
        facts = (info.filename, info.CRC, info.file_size)
        files.setdefault(posixpath.dirname(info.filename), []).append(facts)
    # Made once for all models of a folder.
    texts = {folder: repr(sorted(facts)) for folder, facts in files.items()}
    return {
        folder: text if len(files[folder]) <= _FLAT_FOLDER
        else hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        for folder, text in texts.items()
    }  # fmt: skip


def parse_properties(data: bytes) -> Iterator[tuple[str, str]]:
    """Yields the (key, value) pairs of a Java properties file, which is latin-1 by definition."""
    parts: list[str] = []  # of a line that goes on, none of them empty; joined once
    for raw in data.decode("latin-1").splitlines():
        part = raw.lstrip()
        if not parts and (not part or part[0] in "#!"):
            continue
        # An odd number of backslashes continues the line.
        goes_on = (len(part) - len(part.rstrip("\\"))) % 2
        if piece := part[:-1] if goes_on else part:
            parts.append(piece)
        if goes_on:
            continue
        line, parts = "".join(parts), []
        if match := _PAIR.match(line):
            yield _ESCAPE.sub(_unescape, match[1]), _ESCAPE.sub(_unescape, match[2]).strip()


def _unescape(match: re.Match[str]) -> str:
    code = match[1]
    if len(code) == 5:
        return chr(int(code[1:], 16))
    return {"n": "\n", "t": "\t", "r": "\r", "f": "\f"}.get(code, code)


def _entries(data: bytes, path: Path, library: dict[str, str]) -> dict[int, dict[str, str]]:
    """Sorts ``key#number=value`` by number; what is said of the ``library`` has no number.

    Raises:
        UserError: more models than any library has.
    """
    entries: dict[int, dict[str, str]] = {}
    for key, value in parse_properties(data):
        if match := _ENTRY.fullmatch(key):
            if match[1] in _READ_KEYS:
                entries.setdefault(int(match[2]), {})[match[1]] = value
            if len(entries) > _MAX_MODELS:
                raise UserError(f"{path}: its catalogue has more than {_MAX_MODELS:,} models")
        elif key in ("name", "license"):
            library[key] = value
    return entries


def _number(text: str | None, default: float) -> float:
    try:
        value = float(text or "")
    except ValueError:
        return default
    return value if np.isfinite(value) else default


@contextlib.contextmanager
def _open(path: Path) -> Iterator[zipfile.ZipFile]:
    """The archive of a library; its table of contents is read once for many models."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"{path}: no regular file, expected a furniture library (.sh3f)")
        version = (status.st_ino, status.st_size, status.st_mtime_ns)
        archive = _opened(path, version, os.getpid())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise UserError(
            f"{path}: not a readable furniture library (.sh3f is a zip archive): {reason}"
        ) from None
    yield archive


@functools.lru_cache(maxsize=2)
def _opened(path: Path, version: tuple[int, ...], process: int) -> zipfile.ZipFile:
    """An open archive of this process, until another version of it or other ones are opened."""
    return open_zip(path, _MAX_MEMBERS)


def _read(
    archive: zipfile.ZipFile, path: Path, member: str, limit: int = MAX_MEMBER_BYTES
) -> bytes:
    """Reads one member; the size in the archive's index may lie, so what comes out is limited."""
    limit = min(limit, MAX_MEMBER_BYTES)
    try:
        info = archive.getinfo(member)
        if info.compress_type not in _PACKED_BY:
            raise NotImplementedError("packed in a way that is not read")
        data = b""
        if info.file_size <= limit:
            with archive.open(info) as stream:
                data = stream.read(limit + 1)
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
    if info.file_size > limit or len(data) > limit:
        raise UserError(f"{path}: {member} unpacks to more than {limit // 2**20} MiB; left alone")
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
        if wanted.endswith(".mtl") and len(self._materials) == 1:
            return self._names[self._materials[0]]
        over, lost = self._left_over
        return self._names[next(iter(over))] if len(over) == 1 and lost == {wanted} else None

    @functools.cached_property
    def _inside(self) -> frozenset[str]:
        """Lower-case names of the files in the folder."""
        folder = self._folder.lower()
        return frozenset(name for name in self._names if posixpath.dirname(name) == folder)

    @functools.cached_property
    def _materials(self) -> list[str]:
        """Those of material libraries."""
        return sorted(name for name in self._inside if name.endswith(".mtl"))

    @functools.cached_property
    def _left_over(self) -> tuple[frozenset[str], frozenset[str]]:
        """Pictures that no material names, and names in materials that fit no picture."""
        pictures = frozenset(n for n in self._inside if n.endswith((".png", ".jpg", ".jpeg")))
        named = set()
        for library in self._materials[:_MAX_MATERIALS]:
            for line in _read(self._archive, self._path, self._names[library]).splitlines():
                if line.strip().lower().startswith(b"map_kd"):
                    text = line.split(maxsplit=1)[-1].decode("utf-8", "replace").replace("\\", "/")
                    full = posixpath.join(self._folder, text.strip())
                    named.add(posixpath.normpath(full).lower())
        return pictures - named, frozenset(named - pictures)
