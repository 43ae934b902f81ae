"""Signed distance fields of many shapes, computed in parallel and cached with 8 bits a sample.

With colours, each shape also has the mean colour of its surface in blocks of 2^3 samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8

from triform.base.compiled import njit
from triform.datasets.mesh_digests import mesh_keys
from triform.datasets.shape import Shape
from triform.datasets.shape_cache import CachedRows, RecordFile, compute_rows
from triform.geometry.voxels.signed_distance import TRUNCATION, SignedDistance, signed_distance

# Part of the cache key; changed when `signed_distance` gives another field for the same mesh.
VERSION = "visible surface, thin parts kept, 2"
LEVELS = 127
"""A sample's distance is kept as an integer from -LEVELS to LEVELS: steps of 0.024 voxels."""
COLOR_BLOCK = 2
"""Samples along each side of a block that has one colour."""
COLOR_BAND = 1.5
"""Samples nearer to the surface than this, in voxels, give a block its colour."""


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


class ColoredDistanceTable(DistanceTable):
    """Truncated signed distances and surface colours of many shapes."""

    def distances(
        self, indices: Sequence[int] | np.ndarray | slice
    ) -> Float32[np.ndarray, "b x y z"]:
        """Distances (B, R, R, R) in voxels, negative inside, from -TRUNCATION to TRUNCATION."""
        return self.distances_and_colors(indices)[0]

    def distances_and_colors(
        self, indices: Sequence[int] | np.ndarray | slice
    ) -> tuple[Float32[np.ndarray, "b x y z"], UInt8[np.ndarray, "b u v w 3"]]:
        """Distances and colours (B, R/2, R/2, R/2, 3) sRGB, which are 0 far from surfaces."""
        rows, size = self._rows[indices], self.resolution
        fields = rows[:, : size**3].reshape(-1, *[size] * 3)
        colors = rows[:, size**3 :].view(np.uint8).reshape(-1, *[size // COLOR_BLOCK] * 3, 3)
        return np.asarray(fields.astype(np.float32) * np.float32(TRUNCATION / LEVELS)), colors


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
    payload = partial(quantized_distances, resolution=resolution)
    rows = _rows(shapes, payload, "distances", resolution, resolution**3, cache, processes)
    return DistanceTable(rows, resolution)


def compute_colored_distances(
    shapes: Sequence[Shape],
    resolution: int,
    *,
    cache: Path | None = None,
    processes: int = 0,
) -> ColoredDistanceTable:
    """Like `compute_distances`, with the colours of the surfaces; R is even."""
    payload = partial(quantized_distances_and_colors, resolution=resolution)
    size = resolution**3 + 3 * (resolution // COLOR_BLOCK) ** 3
    rows = _rows(shapes, payload, "colored_distances", resolution, size, cache, processes)
    return ColoredDistanceTable(rows, resolution)


def _rows(
    shapes: Sequence[Shape],
    payload: Callable[[Shape], np.ndarray],
    name: str,
    resolution: int,
    size: int,
    cache: Path | None,
    processes: int,
) -> CachedRows:
    """Payloads of `size` bytes, cached in a file of this name and resolution."""
    file = RecordFile(
        (cache or Path()) / f"{name}_{resolution}.bin",
        {"triform": name, "version": 1, "resolution": resolution, "levels": LEVELS},
        "i1",
        size,
    )
    keys: dict[Shape, bytes] = {}
    if cache is not None:
        keys = mesh_keys(shapes, cache, VERSION, processes=processes)
    return compute_rows(
        shapes,
        payload,
        lambda shape: keys.get(shape) or shape.fingerprint.encode(),
        file,
        cached=cache is not None,
        processes=processes,
        description="distances",
    )


def quantized_distances(shape: Shape, *, resolution: int) -> np.ndarray:
    """Distances of one shape, (R^3,) int8 in units of TRUNCATION / LEVELS."""
    return _quantize(signed_distance(shape.load(), resolution).distance)


def quantized_distances_and_colors(shape: Shape, *, resolution: int) -> np.ndarray:
    """Distances as above and the bytes of the colours of the blocks, (R^3 + 3 (R/2)^3,) int8."""
    field = signed_distance(shape.load(), resolution, colors=True)
    return np.concatenate([_quantize(field.distance), block_colors(field).ravel().view(np.int8)])


def block_colors(field: SignedDistance) -> UInt8[np.ndarray, "u v w 3"]:
    """Mean sRGB of the surface in blocks (R/2, R/2, R/2, 3); 0 where no coloured surface is near.

    Black is 1, because 0 says that no surface is near.
    """
    if field.colors is None:
        size = len(field.distance) // COLOR_BLOCK
        return np.zeros((size, size, size, 3), dtype=np.uint8)
    return np.asarray(_mean_colors(field.distance, field.colors))


@njit(cache=True, nogil=True)
def _mean_colors(distance, colors):  # type: ignore[no-untyped-def]
    """Mean colours (R/2, R/2, R/2, 3) uint8 of the samples near the surface, by blocks."""
    size = len(distance) // COLOR_BLOCK
    means = np.zeros((size, size, size, 3), np.uint8)
    total = np.empty(3)
    for x in range(size):
        for y in range(size):
            for z in range(size):
                count = 0
                total[:] = 0.0
                for sample in range(COLOR_BLOCK**3):
                    i = x * COLOR_BLOCK + sample % COLOR_BLOCK
                    j = y * COLOR_BLOCK + sample // COLOR_BLOCK % COLOR_BLOCK
                    k = z * COLOR_BLOCK + sample // COLOR_BLOCK**2
                    if abs(distance[i, j, k]) < COLOR_BAND:
                        count += 1
                        for channel in range(3):
                            total[channel] += colors[i, j, k, channel]
                if count:
                    for channel in range(3):
                        mean = np.rint(total[channel] / count)
                        means[x, y, z, channel] = min(max(mean, 1.0), 255.0)
    return means


def _quantize(distance: np.ndarray) -> np.ndarray:
    return np.rint(distance.ravel() * (LEVELS / TRUNCATION)).astype(np.int8)
