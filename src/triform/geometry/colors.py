"""One sRGB colour per face from vertex colours, materials and textures; vertex colours of faces."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, UInt8

UNCOLORED = (200, 200, 200)
# Barycentric coordinates of the centres of the 16 triangles of a twice subdivided face.
BARYCENTRIC_CELLS = [(i, j) for i in range(4) for j in range(4 - i)]
SAMPLE_POINTS = np.array(
    [((i + 1 / 3) / 4, (j + 1 / 3) / 4) for i, j in BARYCENTRIC_CELLS]
    + [((i + 2 / 3) / 4, (j + 2 / 3) / 4) for i, j in BARYCENTRIC_CELLS if i + j < 3]
)


def texture_means(
    texture: UInt8[np.ndarray, "h w 3"], uv: Float[np.ndarray, "f 3 2"]
) -> UInt8[np.ndarray, "f 3"]:
    """Average a texture over each face, from 16 evenly spaced samples.

    Args:
        texture: (H, W, 3), first row at the top.
        uv: texture coordinates of the corners, (F, 3, 2); (0, 0) is the image's lower left, and
            values outside [0, 1] repeat it. Not finite counts as 0.
    """
    height, width = texture.shape[:2]
    uv = np.nan_to_num(uv, nan=0.0, posinf=0.0, neginf=0.0)
    total = np.zeros((len(uv), 3))
    for a, b in SAMPLE_POINTS:
        u, v = (uv[:, 0] * a + uv[:, 1] * b + uv[:, 2] * (1 - a - b)).T
        columns = ((u % 1.0) * width).astype(np.int64) % width
        rows = ((-v % 1.0) * height).astype(np.int64) % height
        total += texture[rows, columns]
    return np.rint(total / len(SAMPLE_POINTS)).astype(np.uint8)


def vertex_means(
    faces: Int[np.ndarray, "f 3"], face_colors: UInt8[np.ndarray, "f 3"], num_vertices: int
) -> UInt8[np.ndarray, "v 3"]:
    """Average the colours of the faces around each vertex; UNCOLORED where there is no face.

    Args:
        faces: (F, 3) indices of vertices.
        face_colors: (F, 3) sRGB.
        num_vertices: V.
    """
    corners = faces.ravel()
    count = np.bincount(corners, minlength=num_vertices)
    means = np.tile(np.array(UNCOLORED, np.float64), (num_vertices, 1))
    for channel in range(3):
        weights = np.repeat(face_colors[:, channel], 3)
        total = np.bincount(corners, weights, num_vertices)
        np.divide(total, count, out=means[:, channel], where=count > 0)
    return np.rint(means).astype(np.uint8)


def to_bytes(colors: Float[np.ndarray, "*n"]) -> UInt8[np.ndarray, "*n"]:
    """Convert colours in [0, 1] to 8 bits; other values are clipped, NaN is 0."""
    finite = np.nan_to_num(np.asarray(colors, dtype=np.float64), nan=0.0)
    return np.rint(np.clip(finite, 0, 1) * 255).astype(np.uint8)


def srgb_from_linear(linear: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Apply the sRGB transfer function to linear values in [0, 1]."""
    light = np.clip(linear, 0, 1)
    return np.asarray(
        np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    )


def linear_from_srgb(srgb: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Invert the sRGB transfer function for values in [0, 1]."""
    value = np.clip(srgb, 0, 1)
    return np.asarray(np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4))
