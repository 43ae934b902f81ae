"""Small pictures of point clouds."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8

from triform.geometry.mesh import MeshError
from triform.geometry.render import camera_axes

# A cube stays in the picture whichever way it is turned.
_HALF_DIAGONAL = 0.5 * 3**0.5
_DOT = (90, 110, 140)
# The farthest point keeps so much of its colour; the rest is the paper's white.
_FAR_STRENGTH = 0.55


def draw_points(
    points: Float[np.ndarray, "n 3"],
    colors: UInt8[np.ndarray, "n 3"] | None = None,
    size: int = 128,
    azimuth: float | int = 0.6,
    elevation: float | int = 0.4,
) -> UInt8[np.ndarray, "h w 4"]:
    """Draw points as squares of two pixels, near ones over far ones, far ones paler.

    Args:
        points: in [-1/2, 1/2]^3, +Y up; what lies outside may be cut off.
        colors: sRGB of each; without them a blue grey.
        size: pixels along each side.
        azimuth: radians around the +Y axis; 0 looks at the front (+Z), growing towards +X.
        elevation: radians above the horizon.

    Returns:
        (size, size, 4), transparent where nothing is.

    Raises:
        MeshError: `size` is out of range.
    """
    if not 2 <= size <= 8192:
        raise MeshError(f"dots: size {size} is wrong, choose 2 to 8192")
    seen = np.asarray(points, dtype=np.float64) @ camera_axes(azimuth, elevation).T
    order = np.argsort(seen[:, 2])
    seen = seen[order]
    place = (seen[:, :2] * (1, -1) / (2 * _HALF_DIAGONAL) + 0.5) * size
    near = np.clip(seen[:, 2:] / (2 * _HALF_DIAGONAL) + 0.5, 0, 1)
    strength = _FAR_STRENGTH + (1 - _FAR_STRENGTH) * near
    paint = np.full((len(seen), 3), _DOT) if colors is None else colors[order]
    paint = np.rint(255 - (255 - paint.astype(np.float64)) * strength).astype(np.uint8)
    picture = np.zeros((size, size, 4), dtype=np.uint8)
    columns, rows = np.floor(place - 0.5).astype(np.int64).T
    spots = [(rows + down, columns + right) for down in (0, 1) for right in (0, 1)]
    # One after the other, so that a nearer point hides all four pixels of a farther one.
    row, column = (np.stack(one, axis=1).reshape(-1) for one in zip(*spots, strict=True))
    inside = (row >= 0) & (row < size) & (column >= 0) & (column < size)
    # Where a pixel is written more than once, numpy keeps the last value: the nearest point's.
    picture[row[inside], column[inside], :3] = np.repeat(paint, 4, axis=0)[inside]
    picture[row[inside], column[inside], 3] = 255
    return picture
