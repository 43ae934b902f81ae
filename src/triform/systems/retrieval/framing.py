"""Cuts a picture to its object, so that photographs, previews and rendered views fill theirs alike.

Where the object is: what is not transparent; in an opaque picture with an even border, what differs
from the border; otherwise the whole picture.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8
from PIL import Image

# Alpha, of 255, from which a pixel counts as the object's.
_SEEN = 8
# Levels, of 255, by which a pixel has to differ from the border.
_DIFFERS = 12
# Share of the border that has to be of one colour.
_EVEN = 0.5
_MARGIN = 0.02


def frame(
    picture: Image.Image | UInt8[np.ndarray, "h w c"], size: int
) -> UInt8[np.ndarray, "size size 4"]:
    """Cut to the object, centred in a square, with the background taken away where it is even.

    Args:
        picture: of any mode and size; an array has 3 or 4 channels.
        size: width and height of the result.

    Returns:
        sRGB with straight alpha.
    """
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    rgba = np.array(image.convert("RGBA"))
    if rgba[..., 3].min() > 255 - _SEEN:
        rgba[..., 3] = _differs_from_border(rgba[..., :3])
    seen = rgba[..., 3] > _SEEN
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    if not len(rows):  # nothing but background: the whole picture, as opaque as it came
        return np.array(image.convert("RGBA").resize((size, size), Image.Resampling.BILINEAR))
    part = rgba[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width = part.shape[:2]
    side = int(np.ceil(max(height, width) * (1 + 2 * _MARGIN)))
    square = np.zeros((side, side, 4), np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = part
    # Pillow weights colours by alpha, so that the black around does not bleed in.
    return np.array(Image.fromarray(square).resize((size, size), Image.Resampling.BILINEAR))


def on_white(rgba: UInt8[np.ndarray, "*n h w 4"]) -> UInt8[np.ndarray, "*n h w 3"]:
    """Lay pictures with straight alpha on white."""
    alpha = rgba[..., 3:].astype(np.float32) / 255
    return np.asarray(np.rint(rgba[..., :3] * alpha + 255 * (1 - alpha))).astype(np.uint8)


def _differs_from_border(rgb: np.ndarray) -> np.ndarray:
    border = np.concatenate([rgb[0], rgb[-1], rgb[:, 0], rgb[:, -1]]).astype(np.int16)
    color = np.median(border, axis=0)
    if (np.abs(border - color).max(axis=1) <= _DIFFERS).mean() < _EVEN:
        return np.full(rgb.shape[:2], 255, np.uint8)
    return np.where(np.abs(rgb - color).max(axis=2) > _DIFFERS, 255, 0).astype(np.uint8)
