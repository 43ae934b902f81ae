"""Images of point clouds."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8

from triform.geometry.mesh import MeshError
from triform.geometry.render.cameras import camera_axes

DEFAULT_COLOR = (110, 140, 180)
# Below 1 for the nearest point too: white points stay visible on a white background.
NEAR_BRIGHTNESS, FAR_BRIGHTNESS = 0.92, 0.5


def draw_points(
    points: Float[np.ndarray, "n 3"],
    colors: UInt8[np.ndarray, "n 3"] | None = None,
    size: int = 128,
    azimuth: float | int = 0.6,
    elevation: float | int = 0.4,
) -> UInt8[np.ndarray, "h w 4"]:
    """Draw points as squares of 2x2 pixels with a z-buffer; far points are darker.

    The ball around the origin that contains all points fits the image.

    Args:
        points: finite, +Y up.
        colors: (N, 3) sRGB; blue grey by default.
        size: pixels along each side.
        azimuth: radians around the +Y axis; 0 looks at the front (+Z), growing towards +X.
        elevation: radians above the horizon.

    Returns:
        (size, size, 4) sRGB, transparent where no point is.

    Raises:
        MeshError: `size` is out of range.
    """
    if not 2 <= size <= 8192:
        raise MeshError(f"points: size {size} is wrong, choose 2 to 8192")
    image = np.zeros((size, size, 4), dtype=np.uint8)
    if len(points) == 0:
        return image
    view_points = np.asarray(points, dtype=np.float64) @ camera_axes(azimuth, elevation).T
    view_points /= max(float(np.linalg.norm(view_points, axis=1).max()), 1e-12)
    order = np.argsort(view_points[:, 2])
    view_points = view_points[order]
    pixels = (0.98 * view_points[:, :2] * (1, -1) + 1) / 2 * size
    brightness = FAR_BRIGHTNESS + (NEAR_BRIGHTNESS - FAR_BRIGHTNESS) * (view_points[:, 2:] + 1) / 2
    shaded = np.full((len(view_points), 3), DEFAULT_COLOR) if colors is None else colors[order]
    shaded = np.rint(shaded * brightness).astype(np.uint8)
    columns, rows = np.floor(pixels - 0.5).astype(np.int64).T
    offsets = [(rows + down, columns + right) for down in (0, 1) for right in (0, 1)]
    # In the order of depth, so that a nearer point covers all four pixels of a farther one.
    row_index, column_index = (
        np.stack(pixel_coordinates, axis=1).reshape(-1)
        for pixel_coordinates in zip(*offsets, strict=True)
    )
    inside = (row_index >= 0) & (row_index < size) & (column_index >= 0) & (column_index < size)
    # numpy keeps the last value written to a pixel: the nearest point's.
    image[row_index[inside], column_index[inside], :3] = np.repeat(shaded, 4, axis=0)[inside]
    image[row_index[inside], column_index[inside], 3] = 255
    return image
