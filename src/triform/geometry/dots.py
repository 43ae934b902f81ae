"""Small pictures of point clouds."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8

from triform.geometry.mesh import MeshError
from triform.geometry.render import camera_axes

_DOT = (110, 140, 180)
# How bright the nearest and the farthest point are: white ones must show on white paper.
_NEAR, _FAR = 0.92, 0.5


def draw_points(
    points: Float[np.ndarray, "n 3"],
    colors: UInt8[np.ndarray, "n 3"] | None = None,
    size: int = 128,
    azimuth: float | int = 0.6,
    elevation: float | int = 0.4,
) -> UInt8[np.ndarray, "h w 4"]:
    """Draw points as squares of two pixels, near ones over far ones, far ones darker.

    The ball around the origin that holds all points fits the picture.

    Args:
        points: finite, +Y up.
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
    picture = np.zeros((size, size, 4), dtype=np.uint8)
    if len(points) == 0:
        return picture
    seen = np.asarray(points, dtype=np.float64) @ camera_axes(azimuth, elevation).T
    seen /= max(float(np.linalg.norm(seen, axis=1).max()), 1e-12)
    order = np.argsort(seen[:, 2])
    seen = seen[order]
    place = (0.98 * seen[:, :2] * (1, -1) + 1) / 2 * size
    bright = _FAR + (_NEAR - _FAR) * (seen[:, 2:] + 1) / 2
    paint = np.full((len(seen), 3), _DOT) if colors is None else colors[order]
    paint = np.rint(paint * bright).astype(np.uint8)
    columns, rows = np.floor(place - 0.5).astype(np.int64).T
    spots = [(rows + down, columns + right) for down in (0, 1) for right in (0, 1)]
    # One after the other, so that a nearer point hides all four pixels of a farther one.
    row, column = (np.stack(one, axis=1).reshape(-1) for one in zip(*spots, strict=True))
    inside = (row >= 0) & (row < size) & (column >= 0) & (column < size)
    # The last value stays where a pixel is written more than once: the nearest point's.
    picture[row[inside], column[inside], :3] = np.repeat(paint, 4, axis=0)[inside]
    picture[row[inside], column[inside], 3] = 255
    return picture
