"""Cuts a picture to its object, so that photographs, previews and rendered views fill theirs alike.

Where the object is: what is not transparent; in an opaque picture whose border is of one colour,
or of two or three that take turns all around (checks, stripes, dots), what is of another; else the
whole picture.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageFilter
from scipy import ndimage

# Alpha, of 255, from which a pixel counts as the object's.
_SEEN = 8
# Levels, of 255, by which a pixel has to differ from the border.
_DIFFERS = 12
# Share of the border that has to be of one colour.
_EVEN = 0.5
# A pattern: levels by which its colours vary, how many there are, how often they change along the
# border, what share of it may be of other colours, and what share of the picture is a speck.
_NEAR, _PATTERN_COLORS, _TURNS, _STRAY, _SPECK = 8, 3, 10, 0.15, 0.002
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
    border = _ring(rgb)
    pattern = _pattern(border)
    if pattern is not None:
        return _without_specks(np.abs(rgb[:, :, None] - pattern).max(axis=3).min(axis=2) > _NEAR)
    color = np.median(border, axis=0)
    if (np.abs(border - color).max(axis=1) <= _DIFFERS).mean() < _EVEN:
        return np.full(rgb.shape[:2], 255, np.uint8)
    return np.where(np.abs(rgb - color).max(axis=2) > _DIFFERS, 255, 0).astype(np.uint8)


def _ring(rgb: np.ndarray) -> np.ndarray:
    """The outermost pixels (N, 3) int16, once around."""
    sides = (rgb[0], rgb[1:, -1], rgb[-1, -2::-1], rgb[-2:0:-1, 0])
    return np.concatenate(sides).astype(np.int16)


def _pattern(border: np.ndarray) -> np.ndarray | None:
    """Colours (K, 3) that take turns all around a picture, or None where it is not so."""
    left, colors = np.ones(len(border), bool), []
    number = np.full(len(border), -1)
    for index in range(_PATTERN_COLORS):
        if left.mean() < _STRAY:
            break
        coarse = (border[left] >> 5) @ np.array([64, 8, 1])
        most = np.bincount(coarse).argmax()
        color = np.median(border[left][coarse == most], axis=0)
        near = left & (np.abs(border - color).max(axis=1) <= _NEAR)
        if not near.any():
            break
        colors.append(color)
        number[near], left = index, left & ~near
    known = number[number >= 0]
    turns = int((known != np.roll(known, 1)).sum())
    if len(colors) < 2 or left.mean() > _STRAY or turns < _TURNS:
        return None
    return np.array(colors)


def _without_specks(seen: np.ndarray) -> np.ndarray:
    """Alpha (H, W) without lines of one pixel and small specks, which are the pattern's edges."""
    alpha = Image.fromarray(np.where(seen, 255, 0).astype(np.uint8)).filter(
        ImageFilter.MedianFilter(3)
    )
    labels, count = ndimage.label(np.array(alpha), np.ones((3, 3)))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    large = sizes >= _SPECK * seen.size
    large[0] = False
    return np.where(large[labels], 255, 0).astype(np.uint8)
