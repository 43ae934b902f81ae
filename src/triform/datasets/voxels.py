"""Voxels of many shapes, computed in parallel and cached bit-packed on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from triform.datasets.shape import Shape
from triform.datasets.shape_cache import CachedRows, RecordFile, compute_rows
from triform.geometry.voxels.voxelize import voxelize

# Part of the cache key; changed when `geometry.voxelize` gives other voxels for the same mesh.
VOXELIZER_VERSION = "surface, inside, and behind holes, 2"


@runtime_checkable
class VoxelSource(Protocol):
    """A mesh source that has voxels already."""

    def voxels(self, resolution: int, *, fill: bool) -> np.ndarray: ...


class VoxelTable:
    """Bit-packed occupancy of many shapes, unpacked on demand.

    Attributes:
        shapes: the voxelized shapes, in the order of the input.
        failed: (object id, reason) of the others.
    """

    def __init__(self, rows: CachedRows, resolution: int) -> None:
        self._rows, self.resolution = rows, resolution
        self.shapes, self.failed = rows.shapes, rows.failed

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def packed(self) -> np.ndarray:
        """A copy of all rows, (N, ceil(R^3 / 8)) uint8, first voxel in the highest bit."""
        return self._rows[:]

    def unpack(self, indices: Sequence[int] | np.ndarray | slice) -> np.ndarray:
        """Occupancy (B, R, R, R) uint8, 0 or 1, indexed x, y, z, of the given rows."""
        bits = np.unpackbits(self._rows[indices], axis=1, count=self.resolution**3)
        return np.asarray(bits.reshape(-1, *[self.resolution] * 3))


def voxelize_shapes(
    shapes: Sequence[Shape],
    resolution: int,
    *,
    fill: bool = True,
    cache: Path | None = None,
    processes: int = 0,
) -> VoxelTable:
    """Voxelize shapes in parallel; meshes that fail are left out with a warning.

    Args:
        shapes: any shapes.
        resolution: R, the voxels along each side.
        fill: fill the inside; otherwise only the surface.
        cache: folder of the cache, or None for memory only.
        processes: worker processes; 0 is one per core, 1 is this process.

    Raises:
        UserError: the cache cannot be written, or no shape at all could be voxelized.
    """
    rows = compute_rows(
        shapes,
        partial(packed_voxels, resolution=resolution, fill=fill),
        shape_key,
        voxel_file(cache or Path(), resolution, fill=fill),
        cached=cache is not None,
        processes=processes,
        description="voxels",
    )
    return VoxelTable(rows, resolution)


def voxel_file(folder: Path, resolution: int, *, fill: bool) -> RecordFile:
    """The cache file of a resolution."""
    return RecordFile(
        folder / f"voxels_{resolution}_{'solid' if fill else 'surface'}.bin",
        {"triform": "voxels", "version": 1, "resolution": resolution, "fill": fill},
        "u1",
        -(-(resolution**3) // 8),
    )


def shape_key(shape: Shape) -> bytes:
    """Cache key of a shape: 32 bytes that depend on the mesh and the voxelizer's version."""
    return hashlib.sha256(f"{VOXELIZER_VERSION}|{shape.fingerprint}".encode()).digest()


def packed_voxels(shape: Shape, *, resolution: int, fill: bool) -> np.ndarray:
    """Voxelize one shape: (ceil(R^3 / 8),) uint8."""
    if isinstance(shape.origin, VoxelSource):
        return np.packbits(shape.origin.voxels(resolution, fill=fill))
    return np.packbits(voxelize(shape.load(), resolution, fill=fill, parity=fill))
