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
from triform.datasets.sweethome3d import FurnitureModel, read_library
from triform.geometry.io.load import load_mesh
from triform.geometry.io.up_axis import Up
from triform.geometry.mesh import Mesh
from triform.text.prompts import caption_from_name

logger = get_logger(__name__)

MESH_SUFFIXES = (
    ".3mf",
    ".dae",
    ".glb",
    ".gltf",
    ".iges",
    ".igs",
    ".obj",
    ".off",
    ".ply",
    ".step",
    ".stl",
    ".stp",
    ".vrml",
    ".wrl",
    ".wrl.gz",
    ".wrz",
)
LIBRARY_SUFFIX = ".sh3f"
CAPTIONS_FILE = "captions.csv"
# In every folder that the project has generated or downloaded, written when it is complete.
MARKER = "dataset.json"
MAX_MARKER_BYTES, MAX_TABLE_BYTES = 2**20, 2**30
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}


class MeshSource(Protocol):
    """Source of a mesh: a file, or a model inside a library."""

    def load(self, *, appearance: bool = False) -> Mesh: ...
    def preview(self) -> bytes | None: ...


@dataclasses.dataclass(frozen=True)
class MeshFile:
    """A mesh file with its upright axis; a PNG of the same name beside it is its preview."""

    path: Path
    up: Up = "auto"

    def load(self, *, appearance: bool = False) -> Mesh:
        return load_mesh(self.path, appearance=appearance, up=self.up)

    def preview(self) -> bytes | None:
        image = self.path.with_suffix(".png")
        return image.read_bytes() if image.is_file() else None


@dataclasses.dataclass(frozen=True)
class Shape:
    """A shape of a data set: its captions, mesh source, licence and split.

    Attributes:
        object_id: unique within the data set and on every machine ("sweethome3d/Scopia#bed1").
        source: name of the data set.
        captions: captions, English first; may be empty.
        languages: language code of each caption.
        category: category, or "".
        fingerprint: hash that changes with the mesh.
        licence: licence, or "".
        origin: source of the mesh and the preview.
        split: "train", "val" or "test" if the data set defines it.
    """

    object_id: str
    source: str
    captions: tuple[str, ...]
    languages: tuple[str, ...]
    category: str
    fingerprint: str
    licence: str
    origin: MeshSource
    split: str | None = None

    @property
    def location(self) -> str:
        """The file of the mesh, with the name of the model behind `#` where it holds several."""
        match self.origin:
            case MeshFile(path=path):
                return str(path)
            case FurnitureModel(library=library, object_id=object_id):
                return f"{library}#{object_id}"
        return self.object_id

    @property
    def english(self) -> tuple[str, ...]:
        """The English captions."""
        pairs = zip(self.captions, self.languages, strict=True)
        return tuple(caption for caption, language in pairs if language == "en")

    def load(self, *, appearance: bool = False) -> Mesh:
        """Read the mesh: +Y up, front to +Z where the source follows that; any scale.

        Args:
            appearance: read materials, textures and vertex colours as well.
        """
        return self.origin.load(appearance=appearance)

    def preview(self) -> bytes | None:
        """An encoded image of the shape by other software, or None."""
        return self.origin.preview()


def list_shapes(directories: Sequence[Path], max_samples: int = 0, up: Up = "auto") -> list[Shape]:
    """List the shapes of folders and `.sh3f` libraries, sorted, without reading any mesh.

    A folder may contain mesh files in class folders, with or without `train`/`test` folders, and a
    `captions.csv` (`object_id,caption` or `file,caption`, several rows per shape, and optionally
    `category` and `split`). Without captions, file and folder names give the text. A shape library
    (`triform shapes prepare`) is a folder of shapes too, with voxels and no meshes.

    Args:
        directories: folders, libraries or single mesh files.
        max_samples: list only the first `max_samples`; 0 lists all.
        up: upright axis of the mesh files.

    Raises:
        UserError: no shapes, or an invalid `captions.csv`.
    """
    shapes: dict[str, Shape] = {}
    locations: set[tuple[Any, ...]] = set()
    for directory in map(Path, directories):
        for shape in sorted(_list_directory(directory, up), key=lambda shape: shape.object_id):
            if _location(shape.origin) in locations:
                continue
            locations.add(_location(shape.origin))
            object_id, suffix = shape.object_id, 1
            while object_id in shapes:  # two folders of the same name
                suffix += 1
                object_id = f"{shape.object_id}~{suffix}"
            shapes[object_id] = dataclasses.replace(shape, object_id=object_id)
    result = list(shapes.values())
    return result[:max_samples] if max_samples > 0 else result


def read_marker(folder: Path) -> dict[str, Any]:
    """Read the marker of a folder that the project wrote; empty for any other folder."""
    try:
        marker = json.loads(read_regular(folder / MARKER, MAX_MARKER_BYTES).decode("utf-8"))
    except (UserError, ValueError, RecursionError):
        return {}
    return marker if isinstance(marker, dict) else {}


def _location(origin: MeshSource) -> tuple[Any, ...]:
    match origin:
        case MeshFile(path=path):
            return (os.path.realpath(path),)
        case FurnitureModel(library=library, object_id=object_id):
            return (os.path.realpath(library), object_id)
        case _:
            return tuple(getattr(origin, "identity", (id(origin),)))


def _list_directory(directory: Path, up: Up) -> Iterator[Shape]:
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
        suffixes = " ".join((*MESH_SUFFIXES, LIBRARY_SUFFIX))
        raise UserError(f"{directory}: no meshes in it; looked for files that end in {suffixes}")
    empty_libraries = []
    for library in libraries:
        models = read_library(library.absolute())
        if not models:
            empty_libraries.append(library)
        yield from map(_shape_of_model, models)
    if empty_libraries and len(empty_libraries) == len(libraries) and not meshes:
        raise UserError(
            f"{empty_libraries[0]}: there are no models in it: "
            "nothing that its catalogue names is there"
        )
    for library in empty_libraries:
        logger.warning("%s: there are no models in it; left out", library)
    if meshes:
        folder = directory if directory.is_dir() else directory.parent
        yield from _shapes_of_meshes(folder, meshes, up)


def _walk(directory: Path) -> Iterator[Path]:
    """Every file below a folder, without hidden files and links to folders, which may loop."""
    for folder, folders, names in os.walk(directory):
        folders[:] = [name for name in folders if not name.startswith((".", "__MACOSX"))]
        yield from (Path(folder, name) for name in names if not name.startswith("."))


def _shape_of_model(model: FurnitureModel) -> Shape:
    captions: dict[str, str] = {}
    for language, name in model.names:
        captions.setdefault(_lowercase(name) if language == "en" else name, language)
        if language == "en" and model.tags:
            captions.setdefault(", ".join([_lowercase(name), *map(_lowercase, model.tags)]), "en")
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


def _lowercase(name: str) -> str:
    """Lower-case a name: "Concept Sedan 01" becomes "concept sedan", "TV stand" stays."""
    words = [word.lower() if word[1:2].islower() else word for word in name.split()]
    # A number with a leading zero only tells two models apart.
    return " ".join(word for word in words if not (word.isdigit() and word[0] == "0"))


def _shapes_of_meshes(directory: Path, meshes: list[Path], up: Up) -> Iterator[Shape]:
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
    stem_counts: dict[Path, int] = {}
    for path in meshes:
        stem_counts[path.with_suffix("")] = stem_counts.get(path.with_suffix(""), 0) + 1
    for path in meshes:
        relative = path.absolute().relative_to(root.absolute())
        folders = [part for part in relative.parts[:-1] if part.lower() not in SPLIT_NAMES]
        splits = [
            SPLIT_NAMES[part.lower()] for part in relative.parts[:-1] if part.lower() in SPLIT_NAMES
        ]
        # chair.obj and chair.stl in one folder are two shapes and need two ids.
        stem = relative if stem_counts[path.with_suffix("")] > 1 else relative.with_suffix("")
        keys = (relative.as_posix(), relative.with_suffix("").as_posix(), path.name, path.stem)
        rows_of_mesh = next((rows[name] for name in keys if name in rows), [])
        folder_captions = [name for name in map(_caption, reversed(folders)) if name]
        file_caption = _caption(path.name)
        category = next((row["category"] for row in rows_of_mesh if row.get("category")), "")
        captions = tuple(dict.fromkeys(row["caption"] for row in rows_of_mesh if row["caption"]))
        captions = captions or tuple(
            dict.fromkeys(
                [file_caption, *folder_captions[:1]] if file_caption else folder_captions[:1]
            )
        )
        table_split = next(
            (
                SPLIT_NAMES[row["split"].lower()]
                for row in rows_of_mesh
                if (row.get("split") or "").lower() in SPLIT_NAMES
            ),
            None,
        )
        yield Shape(
            # Names that are invalid in the file system's encoding become ids as well.
            object_id=f"{source}/{stem.as_posix()}".encode("utf-8", "backslashreplace").decode(),
            source=source,
            captions=captions,
            languages=("en",) * len(captions),
            category=category or next(iter(folder_captions), file_caption),
            fingerprint=_file_fingerprint(path, up),
            licence=str(marker.get("licence", "")),
            # Absolute, because worker processes may run in another folder.
            origin=MeshFile(path.absolute(), up),
            split=table_split or (splits[0] if splits else None),
        )


def _caption(name: str) -> str:
    """Caption from a file or folder name, without characters that are no valid text."""
    return caption_from_name(name.encode("utf-8", "ignore").decode())


def _file_fingerprint(path: Path, up: Up) -> str:
    """Hash of path, size, time and upright axis: detects a change without reading the file."""
    try:
        stat = path.stat()
        identity = (stat.st_size, stat.st_mtime_ns)
    except OSError:  # a broken link; reading the mesh reports it
        identity = (-1, -1)
    # Unlike Path.resolve, realpath also accepts circular links.
    return hashlib.sha256(repr((os.path.realpath(path), *identity, up)).encode()).hexdigest()


def _read_captions(path: Path) -> dict[str, list[dict[str, str]]]:
    if not path.is_file():
        return {}
    rows: dict[str, list[dict[str, str]]] = {}
    try:
        data = read_regular(path, MAX_TABLE_BYTES).decode("utf-8-sig")
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
