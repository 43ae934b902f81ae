"""Splits of a library's objects into training, validation and test."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal

import numpy as np

from triform.base.errors import UserError
from triform.datasets.library.decoding import decode_voxels
from triform.datasets.library.layout import LibraryObject
from triform.datasets.library.store import Store
from triform.datasets.shape import MeshFile, Shape
from triform.datasets.split import assign_splits

SplitMode = Literal["copies", "ids", "none"]
# Preferred voxel size of the search for near copies, as in the voxel systems.
_PREFERRED_SIZE = 64
# Larger occupancy arrays are kept on disk.
_MAX_BYTES_IN_MEMORY = 2**28
_NO_MESH = MeshFile(Path())


def split_objects(
    store: Store, objects: dict[str, LibraryObject], mode: SplitMode
) -> dict[str, LibraryObject]:
    """Assign a split to every object of a library.

    Args:
        store: the library's files.
        objects: id -> object.
        mode: "copies" puts near copies into the same split (if all objects have voxels of one
            size), "ids" splits by the ids alone, "none" assigns no split.

    Returns:
        The objects with their splits.
    """
    entries = [objects[name] for name in sorted(objects)]
    splits: list[str | None] = [None] * len(entries)
    if mode != "none" and entries:
        shapes = [_shape(entry) for entry in entries]
        common_sizes = set.intersection(*({*entry.voxels} for entry in entries))
        if mode == "copies" and common_sizes:
            size = min(common_sizes, key=lambda size: (abs(size - _PREFERRED_SIZE), size))
            with tempfile.TemporaryFile() as scratch:
                splits = [*assign_splits(shapes, _occupancy(store, entries, size, scratch), size)]
        else:
            splits = [*assign_splits(shapes)]
    return {
        entry.object_id: entry
        if entry.split == split
        else entry.model_copy(update={"split": split})
        for entry, split in zip(entries, splits, strict=True)
    }


def _shape(entry: LibraryObject) -> Shape:
    """Shape with the fields that `assign_splits` reads; it needs no mesh."""
    return Shape(
        entry.source or entry.object_id,
        entry.dataset,
        (),
        (),
        "",
        "",
        "",
        _NO_MESH,
        entry.source_split,
    )


def _occupancy(
    store: Store, entries: list[LibraryObject], size: int, scratch: object
) -> np.ndarray:
    """Bit-packed voxels, (N, ceil(size^3 / 8)) uint8; memory-mapped if large."""
    shape = (len(entries), -(-(size**3) // 8))
    packed: np.ndarray = (
        np.zeros(shape, np.uint8)
        if shape[0] * shape[1] < _MAX_BYTES_IN_MEMORY
        else np.memmap(scratch, np.uint8, "w+", shape=shape)  # type: ignore[call-overload]
    )
    for row, entry in enumerate(entries):
        try:
            path = entry.voxels[size]
            packed[row] = np.packbits(decode_voxels(store.read_bytes(path), path, size))
        except (OSError, UserError):
            continue  # reported by `triform shapes check`; treated as different from all others
    return packed
