"""Crops to the object: photographs, previews and rendered views then fill their square alike.

`frame` also removes the background: where the object is, is told by alpha; in an opaque image whose
border is of one colour, or of two or three that alternate all around (checks, stripes, dots), by
what differs from the border; else it is the whole image. `frame_on_white` crops white edges alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float64, Int16, UInt8
from PIL import Image, ImageFilter
from scipy import ndimage

# Alpha, of 255, above which a pixel counts as the object's.
MIN_ALPHA = 8
# A pixel counts as white where all of its channels reach this.
WHITE_LEVEL = 250
# Empty space on each side of the object, as a share of its longest side.
MARGIN = 0.02
WHITE_MARGIN = 0.06
# Levels, of 255, by which a pixel has to differ from the border.
_MIN_DIFFERENCE = 12
# Share of the border that has to be of one colour.
_MIN_UNIFORM = 0.5
# A pattern: levels by which its colours vary, how many there are, how often they change along the
# border, what share of it may be of other colours, and what share of the image is a speck.
_TOLERANCE, _PATTERN_COLORS, _MIN_CHANGES, _MAX_OTHER, _SPECK = 8, 3, 10, 0.15, 0.002


def crop_to_square(
    image: UInt8[np.ndarray, "h w c"],
    mask: Bool[np.ndarray, "h w"],
    *,
    margin: float,
    fill: int,
    round_side: Callable[[float], int] = math.ceil,
) -> UInt8[np.ndarray, "side side c"]:
    """Crop an image to the bounding box of a mask and centre it in a square.

    Args:
        image: any number of channels.
        mask: where the object is; the whole image is kept where it is empty.
        margin: on each side, as a share of the longest side.
        fill: value of the pixels around the crop, in every channel.
        round_side: makes a whole number of the side with its margins.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if len(rows):
        image = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width, channels = image.shape
    side = round_side(max(height, width) * (1 + 2 * margin))
    square = np.full((side, side, channels), fill, np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = image
    return square


def frame(
    image: Image.Image | UInt8[np.ndarray, "h w c"], size: int
) -> UInt8[np.ndarray, "size size 4"]:
    """Crop to the object, centre it in a square and make a uniform background transparent.

    Args:
        image: of any mode and size; an array has 3 or 4 channels.
        size: width and height of the result.

    Returns:
        sRGB with straight alpha.
    """
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    rgba = np.array(image.convert("RGBA"))
    if rgba[..., 3].min() > 255 - MIN_ALPHA:
        rgba[..., 3] = _foreground_alpha(rgba[..., :3])
    mask = rgba[..., 3] > MIN_ALPHA
    if not mask.any():  # nothing but background: the whole image, as opaque as it came
        return np.array(image.convert("RGBA").resize((size, size), Image.Resampling.BILINEAR))
    square = crop_to_square(rgba, mask, margin=MARGIN, fill=0)
    # Pillow weights colours by alpha, so that the black around does not bleed in.
    return np.array(Image.fromarray(square).resize((size, size), Image.Resampling.BILINEAR))


def frame_on_white(
    image: UInt8[np.ndarray, "h w 3"], mask: Bool[np.ndarray, "h w"] | None = None
) -> UInt8[np.ndarray, "side side 3"]:
    """Crop white edges and centre the rest in a white square; proportions and scale are kept.

    Args:
        image: sRGB.
        mask: where the object is; by default what is not white.
    """
    mask = is_not_white(image) if mask is None else mask
    return crop_to_square(image, mask, margin=WHITE_MARGIN, fill=255, round_side=round)


def is_not_white(image: UInt8[np.ndarray, "h w 3"]) -> Bool[np.ndarray, "h w"]:
    """Where an image is darker than white in any channel."""
    # Channel by channel: `any` over an axis of three is ten times slower.
    red, green, blue = (image[..., channel] < WHITE_LEVEL for channel in range(3))
    return np.asarray(red | green | blue)


def on_white(rgba: UInt8[np.ndarray, "*n h w 4"]) -> UInt8[np.ndarray, "*n h w 3"]:
    """Composite images with straight alpha over white."""
    alpha = rgba[..., 3:].astype(np.float32) / 255
    return np.asarray(np.rint(rgba[..., :3] * alpha + 255 * (1 - alpha))).astype(np.uint8)


def _foreground_alpha(rgb: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w"]:
    """Alpha of what differs from a uniform or patterned border; opaque where there is none."""
    border = _border_pixels(rgb)
    pattern = _border_pattern(border)
    if pattern is not None:
        distances = np.abs(rgb[:, :, None] - pattern).max(axis=3).min(axis=2)
        return _without_specks(distances > _TOLERANCE)
    color = np.median(border, axis=0)
    if (np.abs(border - color).max(axis=1) <= _MIN_DIFFERENCE).mean() < _MIN_UNIFORM:
        return np.full(rgb.shape[:2], 255, np.uint8)
    return np.where(np.abs(rgb - color).max(axis=2) > _MIN_DIFFERENCE, 255, 0).astype(np.uint8)


def _border_pixels(rgb: UInt8[np.ndarray, "h w 3"]) -> Int16[np.ndarray, "n 3"]:
    """The outermost pixels, once around."""
    sides = (rgb[0], rgb[1:, -1], rgb[-1, -2::-1], rgb[-2:0:-1, 0])
    return np.concatenate(sides).astype(np.int16)


def _border_pattern(border: Int16[np.ndarray, "n 3"]) -> Float64[np.ndarray, "k 3"] | None:
    """Colours that alternate along the border, or None where they do not."""
    unassigned, colors = np.ones(len(border), bool), []
    color_index = np.full(len(border), -1)
    for index in range(_PATTERN_COLORS):
        if unassigned.mean() < _MAX_OTHER:
            break
        coarse = (border[unassigned] >> 5) @ np.array([64, 8, 1])
        most_frequent = np.bincount(coarse).argmax()
        color = np.median(border[unassigned][coarse == most_frequent], axis=0)
        near = unassigned & (np.abs(border - color).max(axis=1) <= _TOLERANCE)
        if not near.any():
            break
        colors.append(color)
        color_index[near], unassigned = index, unassigned & ~near
    assigned = color_index[color_index >= 0]
    changes = int((assigned != np.roll(assigned, 1)).sum())
    if len(colors) < 2 or unassigned.mean() > _MAX_OTHER or changes < _MIN_CHANGES:
        return None
    return np.array(colors)


def _without_specks(mask: Bool[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    """Alpha without lines of one pixel and small specks, which are the pattern's edges."""
    alpha = Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)).filter(
        ImageFilter.MedianFilter(3)
    )
    labels, _ = ndimage.label(np.array(alpha), np.ones((3, 3)))
    sizes = np.bincount(labels.ravel())
    is_large = sizes >= _SPECK * mask.size
    is_large[0] = False
    return np.where(is_large[labels], 255, 0).astype(np.uint8)
