"""A shape with its captions, and the listing of shapes in folders of any kind."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from triform.base.errors import UserError
from triform.base.files import read_regular
from triform.base.logging import get_logger
from triform.datasets.sweethome3d import LibraryModel, read_library
from triform.geometry.load import load_mesh
from triform.geometry.mesh import Mesh
from triform.text.prompts import caption_from_name

logger = get_logger(__name__)

MESH_SUFFIXES = (
    ".3mf", ".dae", ".glb", ".gltf", ".iges", ".igs", ".obj", ".off", ".ply", ".step", ".stl",
    ".stp", ".vrml", ".wrl", ".wrl.gz", ".wrz",
)  # fmt: skip
LIBRARY_SUFFIX = ".sh3f"
CAPTIONS_FILE = "captions.csv"
# Written into every folder that the project itself has made or downloaded, once it is complete.
MARKER = "dataset.json"
_LARGEST_MARKER, _LARGEST_TABLE = 2**20, 2**30
_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}


class Origin(Protocol):
    """Where a mesh comes from: a file, or a model inside a library."""

    def load(self, *, appearance: bool = False) -> Mesh: ...
    def preview(self) -> bytes | None: ...


@dataclasses.dataclass(frozen=True)
class MeshFile:
    """A mesh in a file of its own; a picture of the same name beside it is its preview."""

    path: Path

    def load(self, *, appearance: bool = False) -> Mesh:
        return load_mesh(self.path, appearance=appearance)

    def preview(self) -> bytes | None:
        picture = self.path.with_suffix(".png")
        return picture.read_bytes() if picture.is_file() else None


@dataclasses.dataclass(frozen=True)
class Shape:
    """One object of a data set: what it is called, where its mesh is, and how it may be used.

    Attributes:
        object_id: unique within the data set and the same everywhere ("sweethome3d/Scopia#bed1").
        source: name of the data set.
        captions: English first (``languages`` says where it ends); empty where nothing is known.
        languages: the language code of each caption.
        category: "" where nothing is known.
        fingerprint: changes when the mesh does.
        licence: "" where nothing is known.
        origin: loads the mesh and the preview.
        split: "train", "val" or "test" where the source itself says so.
    """

    object_id: str
    source: str
    captions: tuple[str, ...]
    languages: tuple[str, ...]
    category: str
    fingerprint: str
    licence: str
    origin: Origin
    split: str | None = None

    @property
    def english(self) -> tuple[str, ...]:
        """The English captions."""
        pairs = zip(self.captions, self.languages, strict=True)
        return tuple(caption for caption, language in pairs if language == "en")

    def load(self, *, appearance: bool = False) -> Mesh:
        """Reads the mesh: +Y up, fronts to +Z where the source keeps to that; any scale.

        Args:
            appearance: keep materials, textures and vertex colours as well.
        """
        return self.origin.load(appearance=appearance)

    def preview(self) -> bytes | None:
        """An encoded picture of the shape made by other software, or None."""
        return self.origin.preview()


def list_shapes(directories: Sequence[Path], max_samples: int = 0) -> list[Shape]:
    """Lists the shapes of folders and ``.sh3f`` libraries, sorted, without reading any mesh.

    A folder may hold mesh files in class folders, with or without ``train``/``test`` folders, and a
    ``captions.csv`` (``object_id,caption`` or ``file,caption``, several rows per object, and
    optionally ``category`` and ``split``). Without captions, file and folder names give the text.
    A shape library (`triform shapes prepare`) is a folder of shapes too; it has voxels, no meshes.

    Args:
        directories: folders, libraries or single mesh files.
        max_samples: keep only the first so many; 0 keeps all.

    Raises:
        UserError: nothing there, or a ``captions.csv`` that cannot be used.
    """
    shapes: dict[str, Shape] = {}
    seen: set[tuple[Any, ...]] = set()
    for directory in map(Path, directories):
        for shape in sorted(_list_directory(directory), key=lambda shape: shape.object_id):
            if _place(shape.origin) in seen:
                continue
            seen.add(_place(shape.origin))
            object_id, number = shape.object_id, 1
            while object_id in shapes:  # two folders of the same name in different places
                number += 1
                object_id = f"{shape.object_id}~{number}"
            shapes[object_id] = dataclasses.replace(shape, object_id=object_id)
    listed = list(shapes.values())
    return listed[:max_samples] if max_samples > 0 else listed


def read_marker(folder: Path) -> dict[str, Any]:
    """What a folder made by the project says about itself; empty for any other folder."""
    try:
        marker = json.loads(read_regular(folder / MARKER, _LARGEST_MARKER).decode("utf-8"))
    except (UserError, ValueError, RecursionError):
        return {}
    return marker if isinstance(marker, dict) else {}


def _place(origin: Origin) -> tuple[Any, ...]:
    match origin:
        case MeshFile(path=path):
            return (os.path.realpath(path),)
        case LibraryModel(library=library, object_id=object_id):
            return (os.path.realpath(library), object_id)
        case _:
            return tuple(getattr(origin, "place", (id(origin),)))


def _list_directory(directory: Path) -> Iterator[Shape]:
    if not directory.exists():
        raise UserError(
            f"{directory}: there is no such folder; "
            "give a folder of meshes or a name from `triform data list`"
        )
    files = [directory] if directory.is_file() else sorted(_walk(directory))
    libraries = [path for path in files if path.suffix.lower() == LIBRARY_SUFFIX]
    meshes = [path for path in files if path.name.lower().endswith(MESH_SUFFIXES)]
    if not libraries and not meshes:
        from triform.datasets.library import shapes  # which builds on this module

        if shapes.is_library(directory):
            yield from shapes.library_shapes(directory)
            return
        known = " ".join((*MESH_SUFFIXES, LIBRARY_SUFFIX))
        raise UserError(f"{directory}: no meshes in it; looked for files that end in {known}")
    empty = []
    for library in libraries:
        models = read_library(library.absolute())
        if not models:
            empty.append(library)
        yield from map(_from_library, models)
    if empty and len(empty) == len(libraries) and not meshes:
        raise UserError(
            f"{empty[0]}: there are no models in it: nothing that its catalogue names is there"
        )
    for library in empty:
        logger.warning("%s: there are no models in it; left out", library)
    if meshes:
        yield from _from_meshes(directory if directory.is_dir() else directory.parent, meshes)


def _walk(directory: Path) -> Iterator[Path]:
    """Every file below, links to folders not followed (they may loop), hidden folders left out."""
    for folder, folders, names in os.walk(directory):
        folders[:] = [name for name in folders if not name.startswith((".", "__MACOSX"))]
        yield from (Path(folder, name) for name in names if not name.startswith("."))


def _from_library(model: LibraryModel) -> Shape:
    captions: dict[str, str] = {}
    for language, name in model.names:
        captions.setdefault(_lower(name) if language == "en" else name, language)
        if language == "en" and model.tags:
            captions.setdefault(", ".join([_lower(name), *map(_lower, model.tags)]), "en")
    return Shape(
        object_id=f"sweethome3d/{model.object_id}",
        source="sweethome3d",
        captions=tuple(captions),
        languages=tuple(captions.values()),
        category=model.category,
        fingerprint=model.fingerprint,
        licence=model.licence,
        origin=model,
    )


def _lower(name: str) -> str:
    """Lowers capitals: "Concept Sedan 01" becomes "concept sedan", "TV stand" stays."""
    words = [word.lower() if word[1:2].islower() else word for word in name.split()]
    # A number with a nought in front tells two models apart and says nothing about either.
    return " ".join(word for word in words if not (word.isdigit() and word[0] == "0"))


def _from_meshes(directory: Path, meshes: list[Path]) -> Iterator[Shape]:
    root = next(
        (
            folder
            for folder in [directory, *directory.absolute().parents[:4]]
            if read_marker(folder)
        ),
        directory,
    )
    marker = read_marker(root)
    source = str(marker.get("name") or Path(os.path.realpath(directory)).name)
    rows = _read_captions(root / CAPTIONS_FILE)
    stems: dict[Path, int] = {}
    for path in meshes:
        stems[path.with_suffix("")] = stems.get(path.with_suffix(""), 0) + 1
    for path in meshes:
        relative = path.absolute().relative_to(root.absolute())
        folders = [part for part in relative.parts[:-1] if part.lower() not in _SPLITS]
        splits = [_SPLITS[part.lower()] for part in relative.parts[:-1] if part.lower() in _SPLITS]
        # chair.obj and chair.stl in one folder are two objects, and need two names.
        stem = relative if stems[path.with_suffix("")] > 1 else relative.with_suffix("")
        names = (relative.as_posix(), relative.with_suffix("").as_posix(), path.name, path.stem)
        described = next((rows[name] for name in names if name in rows), [])
        folder_names = [name for name in map(_caption, reversed(folders)) if name]
        own_name = _caption(path.name)
        category = next((row["category"] for row in described if row.get("category")), "")
        captions = tuple(dict.fromkeys(row["caption"] for row in described if row["caption"]))
        captions = captions or tuple(
            dict.fromkeys([own_name, *folder_names[:1]] if own_name else folder_names[:1])
        )
        given = next(
            (
                _SPLITS[row["split"].lower()]
                for row in described
                if (row.get("split") or "").lower() in _SPLITS
            ),
            None,
        )
        yield Shape(
            # Names that are not text in this system's encoding still have to become ids.
            object_id=f"{source}/{stem.as_posix()}".encode("utf-8", "backslashreplace").decode(),
            source=source,
            captions=captions,
            languages=("en",) * len(captions),
            category=category or next(iter(folder_names), own_name),
            fingerprint=_file_fingerprint(path),
            licence=str(marker.get("licence", "")),
            # Worker processes may work in another folder.
            origin=MeshFile(path.absolute()),
            split=given or (splits[0] if splits else None),
        )


def _caption(name: str) -> str:
    """What a file or folder name says, without what is not text in it."""
    return caption_from_name(name.encode("utf-8", "ignore").decode())


def _file_fingerprint(path: Path) -> str:
    """Size and time notice a change without reading gigabytes at every start."""
    try:
        stat = path.stat()
        facts = (stat.st_size, stat.st_mtime_ns)
    except OSError:  # a link to nowhere, or to itself: reading the mesh will say so
        facts = (-1, -1)
    # Unlike Path.resolve, realpath also has an answer where links go round in a circle.
    return hashlib.sha256(repr((os.path.realpath(path), *facts)).encode()).hexdigest()


def _read_captions(path: Path) -> dict[str, list[dict[str, str]]]:
    if not path.is_file():
        return {}
    rows: dict[str, list[dict[str, str]]] = {}
    try:
        data = read_regular(path, _LARGEST_TABLE).decode("utf-8-sig")
        with io.StringIO(data, newline="") as stream:
            reader = csv.DictReader(stream)
            columns = reader.fieldnames or []
            key = next((name for name in ("object_id", "file") if name in columns), None)
            if key is None or "caption" not in columns:
                raise UserError(
                    f"{path}: its first line is {','.join(columns)[:80]!r}; "
                    f"it has to name object_id (or file) and caption"
                )
            for row in reader:
                if row[key] and row["caption"] is not None:
                    rows.setdefault(row[key].strip(), []).append(
                        {**row, "caption": row["caption"].strip()}
                    )
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read as UTF-8 CSV: {error}") from None
    return rows
