"""Which objects of a library are for training, validation and test."""

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

Way = Literal["copies", "ids", "none"]
# The resolution at which near copies are sought where there is a choice, as the voxel systems do.
_PREFERRED = 64
# Occupancy beyond this many bytes waits on the disk.
_IN_MEMORY = 2**28
_NOWHERE = MeshFile(Path())


def split_objects(
    store: Store, objects: dict[str, LibraryObject], way: Way
) -> dict[str, LibraryObject]:
    """Assign a split to every object of a library.

    Args:
        store: where the voxels are.
        objects: id -> object.
        way: "copies" keeps near copies on one side (as far as all objects have voxels of one
            size), "ids" looks at the ids alone, "none" assigns nothing.

    Returns:
        The objects with their splits.
    """
    items = [objects[name] for name in sorted(objects)]
    splits: list[str | None] = [None] * len(items)
    if way != "none" and items:
        shapes = [_shape(item) for item in items]
        common = set.intersection(*({*item.voxels} for item in items))
        if way == "copies" and common:
            size = min(common, key=lambda one: (abs(one - _PREFERRED), one))
            with tempfile.TemporaryFile() as spare:
                splits = [*assign_splits(shapes, _occupancy(store, items, size, spare), size)]
        else:
            splits = [*assign_splits(shapes)]
    return {
        item.object_id: item if item.split == split else item.model_copy(update={"split": split})
        for item, split in zip(items, splits, strict=True)
    }


def _shape(item: LibraryObject) -> Shape:
    """What `assign_splits` looks at; the mesh itself is not needed any more."""
    return Shape(
        item.source or item.object_id, item.dataset, (), (), "", "", "", _NOWHERE, item.given_split
    )


def _occupancy(store: Store, items: list[LibraryObject], size: int, spare: object) -> np.ndarray:
    """Bit-packed voxels, (N, ceil(size^3 / 8)) uint8; in a file where they are many."""
    shape = (len(items), -(-(size**3) // 8))
    packed: np.ndarray = (
        np.zeros(shape, np.uint8)
        if shape[0] * shape[1] < _IN_MEMORY
        else np.memmap(spare, np.uint8, "w+", shape=shape)  # type: ignore[call-overload]
    )
    for row, item in enumerate(items):
        try:
            path = item.voxels[size]
            packed[row] = np.packbits(decode_voxels(store.read_bytes(path), path, size))
        except (OSError, UserError):
            continue  # `triform shapes check` says so; without voxels it has no near copies
    return packed
