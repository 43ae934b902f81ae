"""A shape library as a list of shapes, for systems that train on voxels."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from triform.base.errors import UserError
from triform.datasets.library.decoding import read_voxels
from triform.datasets.library.layout import CAPTIONS, FOLDERS, METADATA, LibraryObject
from triform.datasets.library.library import Library
from triform.datasets.library.store import Store
from triform.datasets.shape import Shape
from triform.datasets.split import assign_splits
from triform.geometry.mesh import Mesh


@dataclasses.dataclass(frozen=True)
class LibraryOrigin:
    """Origin of a shape that is an object of a local library: voxels and images, but no mesh."""

    root: str
    entry: LibraryObject

    @property
    def identity(self) -> tuple[str, str]:
        """Resolved folder and id, equal for the same object under different paths."""
        return os.path.realpath(self.root), self.entry.object_id

    def load(self, *, appearance: bool = False) -> Mesh:
        """Always fail: a library has no meshes.

        Raises:
            UserError: always.
        """
        raise UserError(
            f"{self.root}: a shape library holds images, points and voxels, no meshes; "
            "give the folder of the meshes"
        )

    def voxels(self, resolution: int, *, fill: bool) -> np.ndarray:
        """Stored occupancy, (R, R, R) bool.

        Raises:
            UserError: the resolution is missing, or its file cannot be read.
        """
        if not fill:
            raise UserError(
                f"{self.root}: a shape library holds solid voxels; "
                "give the folder of the meshes, or leave fill on"
            )
        return read_voxels(_open_files(self.root), self.entry, resolution)

    def preview(self) -> bytes | None:
        """First image as PNG, or None."""
        images = self.entry.images
        return _open_files(self.root).read_bytes(images[0]) if images else None


def is_library(folder: Path) -> bool:
    """Whether a folder has the layout of a shape library, of this or another program."""
    tables = (folder / METADATA, folder / CAPTIONS)
    return any(path.is_file() for path in tables) and any(
        (folder / name).is_dir() for name in FOLDERS
    )


def library_shapes(folder: Path) -> Iterator[Shape]:
    """Objects of a local library as shapes.

    Raises:
        UserError: its tables cannot be read.
    """
    library = Library.open(str(folder.absolute()))
    fingerprints = library.store.fingerprints("voxels")
    for entry in library.objects:
        yield _shape(library, entry, fingerprints)


def object_splits(library: Library) -> dict[str, str]:
    """Object id -> split; assigned by the ids if the library has no splits."""
    if any(entry.split for entry in library.objects):
        return {entry.object_id: entry.split or "" for entry in library.objects}
    shapes = [_shape(library, entry, {}) for entry in library.objects]
    ids = [entry.object_id for entry in library.objects]
    return dict(zip(ids, assign_splits(shapes), strict=True))


def _shape(library: Library, entry: LibraryObject, fingerprints: Mapping[str, str]) -> Shape:
    name = Path(library.root).name
    captions = dict(library.captions.get(entry.object_id, ()))
    captions_by_language = sorted(captions.items(), key=lambda pair: pair[1] != "en")
    stamps = sorted((size, fingerprints.get(path, "")) for size, path in entry.voxels.items())
    return Shape(
        # The id in the source data set, so that a shape keeps its split.
        object_id=entry.source or f"{name}/{entry.object_id}",
        source=entry.dataset or name,
        captions=tuple(caption for caption, _ in captions_by_language),
        languages=tuple(language for _, language in captions_by_language),
        category=entry.category,
        fingerprint=hashlib.sha256(
            repr((library.root, entry.object_id, entry.sha256, stamps)).encode(
                "utf-8", "surrogatepass"
            )
        ).hexdigest(),
        licence=entry.licence,
        origin=LibraryOrigin(library.root, entry),
        split=entry.split,
    )


def _open_files(root: str) -> Library:
    """Library for reading files, without its tables."""
    return Library(Store(root), [], {})
