"""Signed distance fields of many shapes, computed in parallel and cached with 8 bits a sample."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from triform.datasets.shape import Shape
from triform.datasets.shape_cache import CachedRows, RecordFile, compute_rows
from triform.geometry.voxels.signed_distance import TRUNCATION, signed_distance

# Part of the cache key; changed when `signed_distance` gives another field for the same mesh.
VERSION = "visible surface, thin parts kept, 1"
LEVELS = 127
"""A sample's distance is kept as an integer from -LEVELS to LEVELS: steps of 0.024 voxels."""


class DistanceTable:
    """Truncated signed distances of many shapes.

    Attributes:
        shapes: the usable shapes, in the order of the input.
        failed: (object id, reason) of the others.
        resolution: R, samples along each side.
    """

    def __init__(self, rows: CachedRows, resolution: int) -> None:
        self._rows, self.resolution = rows, resolution
        self.shapes, self.failed = rows.shapes, rows.failed

    def __len__(self) -> int:
        return len(self._rows)

    def distances(
        self, indices: Sequence[int] | np.ndarray | slice
    ) -> Float32[np.ndarray, "b x y z"]:
        """Distances (B, R, R, R) in voxels, negative inside, from -TRUNCATION to TRUNCATION."""
        rows = self._rows[indices].reshape(-1, *[self.resolution] * 3)
        return np.asarray(rows.astype(np.float32) * np.float32(TRUNCATION / LEVELS))


def compute_distances(
    shapes: Sequence[Shape],
    resolution: int,
    *,
    cache: Path | None = None,
    processes: int = 0,
) -> DistanceTable:
    """Compute the distance fields of shapes; meshes that fail are left out with a warning.

    Args:
        shapes: any shapes with meshes.
        resolution: R, samples along each side.
        cache: folder of the cache, or None for memory only.
        processes: worker processes; 0 is one per core, 1 is this process.

    Raises:
        UserError: the cache cannot be written, or no shape at all can be used.
    """
    file = RecordFile(
        (cache or Path()) / f"distances_{resolution}.bin",
        {"triform": "distances", "version": 1, "resolution": resolution, "levels": LEVELS},
        "i1",
        resolution**3,
    )
    rows = compute_rows(
        shapes,
        partial(quantized_distances, resolution=resolution),
        _key,
        file,
        cached=cache is not None,
        processes=processes,
        description="distances",
    )
    return DistanceTable(rows, resolution)


def quantized_distances(shape: Shape, *, resolution: int) -> np.ndarray:
    """Distances of one shape, (R^3,) int8 in units of TRUNCATION / LEVELS."""
    field = signed_distance(shape.load(), resolution).distance
    return np.rint(field.ravel() * (LEVELS / TRUNCATION)).astype(np.int8)


def _key(shape: Shape) -> bytes:
    return hashlib.sha256(f"{VERSION}|{shape.fingerprint}".encode()).digest()
