"""Furniture libraries of Sweet Home 3D: `.sh3f` files, zip archives of models and a catalogue.

The catalogue is a Java properties file (latin-1 with `\\uXXXX` escapes), with numbered
keys as in `name#1=Washbasin`, and one more file per language. Sizes are in centimetres and are part
of the model: Sweet Home 3D scales every mesh to its size, and so does this module.
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
from triform.geometry.io.load import load_mesh
from triform.geometry.mesh import Mesh

CATALOGUE = "PluginFurnitureCatalog"
# Limits of one file, of the catalogue of one language, and of the whole library: ten times as many
# files and models as in the largest known one.
MAX_MEMBER_BYTES = 128 * 2**20
_MAX_CATALOGUE_BYTES = 4 * 2**20
_MAX_LANGUAGES = 64
_MAX_MEMBERS = 20_000
_MAX_MODELS = 20_000
# Larger folders enter the fingerprints of their models as a hash.
_FLAT_FOLDER = 500
# Most material libraries of one model that are searched for texture names.
_MAX_MATERIALS = 100
_COMPRESSIONS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2}
_READ_KEYS = frozenset(
    [
        "category",
        "creator",
        "depth",
        "height",
        "icon",
        "id",
        "model",
        "modelRotation",
        "name",
        "tags",
        "width",
    ]
)
# Tags that name the source of a model, not its content.
_SOURCE_TAGS = frozenset({"blend swap", "scpts"})
_NO_ROTATION = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_PAIR = re.compile(r"((?:\\.|[^\s=:\\])+)\s*[=:\s]\s*(.*)", re.DOTALL)
_ENTRY = re.compile(r"(\w+)#(\d{1,9})")


@dataclasses.dataclass(frozen=True)
class FurnitureModel:
    """One model of a furniture library.

    Attributes:
        library: the `.sh3f` file.
        member: name of the mesh in the archive.
        icon: name of the preview image, or "".
        object_id: id in the catalogue, unique within it.
        names: (language, name) pairs, English ("en") first, the others by language code.
        tags: English tags that describe the model.
        category: English category.
        licence: the library's licence line.
        size: width, height, depth in centimetres, along x, y, z.
        rotation: nine floats, row by row, applied before the mesh is scaled to `size`.
        fingerprint: digest of all that the mesh depends on.
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
        """Read the mesh: +Y up, front to +Z, in centimetres, with its colours."""
        with _open_library(self.library) as archive:
            data = _read_member(archive, self.library, self.member)
            siblings = _ArchiveFolder(archive, self.library, posixpath.dirname(self.member))
            suffix = posixpath.splitext(self.member)[1]
            name = f"{self.library}: {self.member}"
            mesh = load_mesh(data, suffix, siblings, appearance=appearance, name=name)
        vertices = mesh.vertices @ np.array(self.rotation).reshape(3, 3).T
        low, high = vertices.min(axis=0), vertices.max(axis=0)
        extent = high - low
        # A flat mesh (a sign, a carpet) keeps its zero thickness.
        scale = np.divide(self.size, extent, out=np.ones(3), where=extent > 0)
        return dataclasses.replace(mesh, vertices=(vertices - (low + high) / 2) * scale)

    def read_member(self) -> bytes:
        """Content of the mesh file."""
        with _open_library(self.library) as archive:
            return _read_member(archive, self.library, self.member)

    def preview(self) -> bytes | None:
        """Preview image of the catalogue as a file (usually PNG), or None."""
        if not self.icon:
            return None
        with _open_library(self.library) as archive:
            return _read_member(archive, self.library, self.icon)


def read_library(path: Path) -> list[FurnitureModel]:
    """Read the catalogue of a library, in its order.

    Raises:
        UserError: not a zip, no catalogue, or an entry too large to be one.
    """
    with _open_library(path) as archive:
        members = {info.filename: info for info in archive.infolist()}
        if f"{CATALOGUE}.properties" not in members:
            raise UserError(
                f"{path}: no {CATALOGUE}.properties in it, so it is not a furniture library (.sh3f)"
            )
        library: dict[str, str] = {}
        data = _read_member(archive, path, f"{CATALOGUE}.properties", _MAX_CATALOGUE_BYTES)
        entries = _entries(data, path, library)
        languages: dict[str, dict[int, str]] = {}
        for name in sorted(members):
            match = re.fullmatch(rf"{CATALOGUE}_(\w+)\.properties", name)
            if match is None or match[1].startswith("en"):
                continue
            if len(languages) == _MAX_LANGUAGES:
                raise UserError(f"{path}: catalogues in more than {_MAX_LANGUAGES} languages")
            texts = _entries(_read_member(archive, path, name, _MAX_CATALOGUE_BYTES), path, {})
            languages[match[1]] = {
                index: entry["name"] for index, entry in texts.items() if entry.get("name")
            }
    folders = _folders(members.values())
    models = []
    for index, entry in sorted(entries.items()):
        member = entry.get("model", "").lstrip("/")
        if member not in members or not entry.get("name"):
            continue
        width, height, depth = (
            _parse_float(entry.get(key), 1.0) for key in ("width", "height", "depth")
        )
        size = (width, height, depth)
        rotation = tuple(_parse_float(word, 0.0) for word in entry.get("modelRotation", "").split())
        rotation = rotation if len(rotation) == 9 else _NO_ROTATION
        translated = [(code, texts.get(index, "")) for code, texts in sorted(languages.items())]
        ignored_tags = _SOURCE_TAGS | {
            library.get("name", "").lower(),
            entry.get("creator", "").lower(),
            "",
        }
        tags = [tag.strip() for tag in entry.get("tags", "").split(",")]
        icon = entry.get("icon", "").lstrip("/")
        models.append(
            FurnitureModel(
                library=path,
                member=member,
                icon=icon if icon in members else "",
                object_id=entry.get("id") or f"{path.stem}#{index}",
                names=(("en", entry["name"]), *((code, name) for code, name in translated if name)),
                tags=tuple(tag for tag in tags if tag.lower() not in ignored_tags),
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
    """Folder -> text of names, checksums and sizes, which changes with any of its files."""
    files: dict[str, list[tuple[str, int, int]]] = {}
    for info in members:
        stats = (info.filename, info.CRC, info.file_size)
        files.setdefault(posixpath.dirname(info.filename), []).append(stats)
    # Computed once for all models of a folder.
    texts = {folder: repr(sorted(stats)) for folder, stats in files.items()}
    return {
        folder: text
        if len(files[folder]) <= _FLAT_FOLDER
        else hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        for folder, text in texts.items()
    }


def parse_properties(data: bytes) -> Iterator[tuple[str, str]]:
    """Yield the (key, value) pairs of a Java properties file, which is latin-1 by definition."""
    parts: list[str] = []  # of a continued line, none of them empty; joined once
    for raw in data.decode("latin-1").splitlines():
        part = raw.lstrip()
        if not parts and (not part or part[0] in "#!"):
            continue
        # An odd number of backslashes continues the line.
        is_continued = (len(part) - len(part.rstrip("\\"))) % 2
        if piece := part[:-1] if is_continued else part:
            parts.append(piece)
        if is_continued:
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
    """Group `key#index=value` by index; keys of the library itself have no index.

    Raises:
        UserError: too many models.
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


def _parse_float(text: str | None, default: float) -> float:
    try:
        value = float(text or "")
    except ValueError:
        return default
    return value if np.isfinite(value) else default


@contextlib.contextmanager
def _open_library(path: Path) -> Iterator[zipfile.ZipFile]:
    """Context manager: the archive of a library; its directory is read once for many models."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"{path}: no regular file, expected a furniture library (.sh3f)")
        version = (status.st_ino, status.st_size, status.st_mtime_ns)
        archive = _cached_archive(path, version, os.getpid())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise UserError(
            f"{path}: not a readable furniture library (.sh3f is a zip archive): {reason}"
        ) from None
    yield archive


@functools.lru_cache(maxsize=2)
def _cached_archive(path: Path, version: tuple[int, ...], process: int) -> zipfile.ZipFile:
    """Open archive; cached per process and version of the file."""
    return open_zip(path, _MAX_MEMBERS)


def _read_member(
    archive: zipfile.ZipFile, path: Path, member: str, limit: int = MAX_MEMBER_BYTES
) -> bytes:
    """Read one member; limited in size, since the size in the archive's directory may be wrong."""
    limit = min(limit, MAX_MEMBER_BYTES)
    try:
        info = archive.getinfo(member)
        if info.compress_type not in _COMPRESSIONS:
            raise NotImplementedError("compressed in an unsupported way")
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
        raise UserError(
            f"{path}: {member} unpacks to more than {limit // 2**20} MiB; it is not read"
        )
    return data


class _ArchiveFolder:
    """Folder in an archive, for the material and texture files of a mesh."""

    def __init__(self, archive: zipfile.ZipFile, path: Path, folder: str) -> None:
        self._archive, self._path, self._folder = archive, path, folder
        self._names = {name.lower(): name for name in archive.namelist()}

    def get(self, name: str, /) -> bytes | None:
        requested = posixpath.normpath(
            posixpath.join(self._folder, name.replace("\\", "/").strip())
        )
        member = self._names.get(requested.lower()) or self._find_renamed(requested.lower())
        return None if member is None else _read_member(self._archive, self._path, member)

    def _find_renamed(self, requested: str) -> str | None:
        """File for a name that matches none, if only one name and one such file are unmatched."""
        if requested.endswith(".mtl") and len(self._materials) == 1:
            return self._names[self._materials[0]]
        unused_images, missing_images = self._unmatched
        if len(unused_images) == 1 and missing_images == {requested}:
            return self._names[next(iter(unused_images))]
        return None

    @functools.cached_property
    def _folder_files(self) -> frozenset[str]:
        """Lower-case names of the files in the folder."""
        folder = self._folder.lower()
        return frozenset(name for name in self._names if posixpath.dirname(name) == folder)

    @functools.cached_property
    def _materials(self) -> list[str]:
        """Lower-case names of the material libraries in the folder."""
        return sorted(name for name in self._folder_files if name.endswith(".mtl"))

    @functools.cached_property
    def _unmatched(self) -> tuple[frozenset[str], frozenset[str]]:
        """Images that no material refers to, and names in materials without an image."""
        images = frozenset(n for n in self._folder_files if n.endswith((".png", ".jpg", ".jpeg")))
        named = set()
        for library in self._materials[:_MAX_MATERIALS]:
            for line in _read_member(self._archive, self._path, self._names[library]).splitlines():
                if line.strip().lower().startswith(b"map_kd"):
                    text = line.split(maxsplit=1)[-1].decode("utf-8", "replace").replace("\\", "/")
                    full = posixpath.join(self._folder, text.strip())
                    named.add(posixpath.normpath(full).lower())
        return images - named, frozenset(named - images)
