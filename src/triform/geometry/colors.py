"""One sRGB colour per face from vertex colours, materials and textures."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8

UNCOLORED = (200, 200, 200)
# Where a face is looked at in its texture: the centres of the 16 triangles of a twice split face.
_STEPS = [(i, j) for i in range(4) for j in range(4 - i)]
_SAMPLES = np.array(
    [((i + 1 / 3) / 4, (j + 1 / 3) / 4) for i, j in _STEPS]
    + [((i + 2 / 3) / 4, (j + 2 / 3) / 4) for i, j in _STEPS if i + j < 3]
)


def texture_means(
    texture: UInt8[np.ndarray, "h w 3"], uv: Float[np.ndarray, "f 3 2"]
) -> UInt8[np.ndarray, "f 3"]:
    """Average a texture over each face, at 16 points spread evenly.

    Args:
        texture: (H, W, 3), first row at the top.
        uv: texture coordinates of the corners, (F, 3, 2); (0, 0) is the picture's lower left, and
            values outside [0, 1] repeat it. Not finite counts as 0.
    """
    height, width = texture.shape[:2]
    uv = np.nan_to_num(uv, nan=0.0, posinf=0.0, neginf=0.0)
    total = np.zeros((len(uv), 3))
    for a, b in _SAMPLES:
        u, v = (uv[:, 0] * a + uv[:, 1] * b + uv[:, 2] * (1 - a - b)).T
        columns = ((u % 1.0) * width).astype(np.int64) % width
        rows = ((-v % 1.0) * height).astype(np.int64) % height
        total += texture[rows, columns]
    return np.rint(total / len(_SAMPLES)).astype(np.uint8)


def to_bytes(colors: Float[np.ndarray, "*n"]) -> UInt8[np.ndarray, "*n"]:
    """Bring colours in [0, 1] to 8 bit; out of range is clipped, not finite counts as 0."""
    known = np.nan_to_num(np.asarray(colors, dtype=np.float64), nan=0.0)
    return np.rint(np.clip(known, 0, 1) * 255).astype(np.uint8)


def srgb_from_linear(linear: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Apply the sRGB transfer curve to light in [0, 1]."""
    light = np.clip(linear, 0, 1)
    return np.asarray(
        np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    )


def linear_from_srgb(srgb: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Undo the sRGB transfer curve for values in [0, 1]."""
    value = np.clip(srgb, 0, 1)
    return np.asarray(np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4))
