"""A library as a list of shapes, for systems that learn from voxels and would else read meshes."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from triform.base.errors import UserError
from triform.datasets.library.decoding import read_voxels
from triform.datasets.library.layout import CAPTIONS, FOLDERS, METADATA, Library, LibraryObject
from triform.datasets.library.store import Store
from triform.datasets.shape import Shape
from triform.datasets.split import assign_splits
from triform.geometry.mesh import Mesh


@dataclasses.dataclass(frozen=True)
class LibraryEntry:
    """One object of a library on this machine: its voxels and its first picture, but no mesh."""

    root: str
    entry: LibraryObject

    @property
    def place(self) -> tuple[str, str]:
        """The same for the same object, however its library was named."""
        return os.path.realpath(self.root), self.entry.object_id

    def load(self, *, appearance: bool = False) -> Mesh:
        """There is no mesh.

        Raises:
            UserError: always.
        """
        raise UserError(
            f"{self.root}: a shape library holds pictures, points and voxels, no meshes; "
            "give the folder of the meshes"
        )

    def voxels(self, resolution: int, *, fill: bool) -> np.ndarray:
        """Occupancy (R, R, R) bool, as it was prepared.

        Raises:
            UserError: there is none of this size, or what there is cannot be read.
        """
        if not fill:
            raise UserError(
                f"{self.root}: a shape library holds solid voxels; "
                "give the folder of the meshes, or leave fill on"
            )
        return read_voxels(_files(self.root), self.entry, resolution)

    def preview(self) -> bytes | None:
        """The first picture, or None."""
        images = self.entry.images
        return _files(self.root).read_bytes(images[0]) if images else None


def is_library(folder: Path) -> bool:
    """Whether a folder has the layout of a shape library, whoever made it."""
    tables = (folder / METADATA, folder / CAPTIONS)
    return any(path.is_file() for path in tables) and any(
        (folder / name).is_dir() for name in FOLDERS
    )


def library_shapes(folder: Path) -> Iterator[Shape]:
    """The objects of a library on this machine as shapes.

    Raises:
        UserError: its tables cannot be read.
    """
    library = Library.open(str(folder.absolute()))
    facts = library.store.facts("voxels")
    for entry in library.objects:
        yield _shape(library, entry, facts)


def object_splits(library: Library) -> dict[str, str]:
    """Object id -> split; where the library says nothing about any, the ids decide."""
    if any(entry.split for entry in library.objects):
        return {entry.object_id: entry.split or "" for entry in library.objects}
    shapes = [_shape(library, entry, {}) for entry in library.objects]
    ids = [entry.object_id for entry in library.objects]
    return dict(zip(ids, assign_splits(shapes), strict=True))


def _shape(library: Library, entry: LibraryObject, facts: Mapping[str, str]) -> Shape:
    name = Path(library.root).name
    captions = dict(library.captions.get(entry.object_id, ()))
    english_first = sorted(captions.items(), key=lambda pair: pair[1] != "en")
    stamps = sorted((size, facts.get(path, "")) for size, path in entry.voxels.items())
    return Shape(
        # The id in the data set that it was made from: a shape keeps its split.
        object_id=entry.source or f"{name}/{entry.object_id}",
        source=entry.dataset or name,
        captions=tuple(caption for caption, _ in english_first),
        languages=tuple(language for _, language in english_first),
        category=entry.category,
        fingerprint=hashlib.sha256(
            repr((library.root, entry.object_id, entry.sha256, stamps)).encode(
                "utf-8", "surrogatepass"
            )
        ).hexdigest(),
        licence=entry.licence,
        origin=LibraryEntry(library.root, entry),
        split=entry.split,
    )


def _files(root: str) -> Library:
    """Access to the files alone, without reading the tables."""
    return Library(Store(root), [], {})
