"""Corruptions of query images, as users' images have them: for evaluation, never for training."""

from __future__ import annotations

import io
import math
from collections.abc import Callable

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageFilter

from triform.images.framing import on_white

CROPPED, BLUR_RADIUS, JPEG_QUALITY, ROLL_DEGREES = 0.3, 2.0, 20, 30.0

Pixels = UInt8[np.ndarray, "h w 3"]


def corrupt(
    rgba: UInt8[np.ndarray, "h w 4"], kind: str, rng: np.random.Generator
) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Corrupt one image.

    Args:
        rgba: an object on transparency; 128 pixels wide and high for the published numbers.
        kind: one of `HARD_KINDS` or `FURTHER_KINDS`.
        rng: draws the crop, the direction of roll and the pattern.

    Returns:
        An opaque image, without the object's mask.
    """
    return {**HARD_KINDS, **FURTHER_KINDS}[kind](rgba, rng)


def _crop(rgba: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Crop to 70 % of the area of the object's box, at random."""
    top, bottom, left, right = _box(rgba)
    height, width = (round(side * math.sqrt(1 - CROPPED)) for side in (bottom - top, right - left))
    top += int(rng.integers(bottom - top - height + 1))
    left += int(rng.integers(right - left - width + 1))
    return on_white(rgba)[top : top + height, left : left + width]


def _box(rgba: np.ndarray) -> tuple[int, int, int, int]:
    """Bounds of the object: top, bottom, left, right; the whole image where there is none."""
    visible = rgba[..., 3] > 8
    rows, columns = np.flatnonzero(visible.any(axis=1)), np.flatnonzero(visible.any(axis=0))
    if not len(rows):
        return 0, rgba.shape[0], 0, rgba.shape[1]
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _side(rgba: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Crop 30 % of the object's height or width, at one of its four sides."""
    top, bottom, left, right = _box(rgba)
    across, down = round(CROPPED * (right - left)), round(CROPPED * (bottom - top))
    side = rng.integers(4)
    left, right = left + across * (side == 0), right - across * (side == 1)
    top, bottom = top + down * (side == 2), bottom - down * (side == 3)
    return on_white(rgba)[top:bottom, left:right]


def _blur(rgba: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    del rng
    return np.array(Image.fromarray(on_white(rgba)).filter(ImageFilter.GaussianBlur(BLUR_RADIUS)))


def _jpeg(rgba: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    del rng
    file = io.BytesIO()
    Image.fromarray(on_white(rgba)).save(file, "JPEG", quality=JPEG_QUALITY)
    return np.array(Image.open(file, formats=("JPEG",)).convert("RGB"))


def _grey(rgba: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    del rng
    return np.array(Image.fromarray(on_white(rgba)).convert("L").convert("RGB"))


def _roll(rgba: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    angle = ROLL_DEGREES if rng.random() < 0.5 else -ROLL_DEGREES
    image = Image.fromarray(on_white(rgba))
    white = (255, 255, 255)
    return np.array(image.rotate(angle, Image.Resampling.BICUBIC, expand=True, fillcolor=white))


def _background(rgba: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Composite on checks, stripes or dots of two random colours."""
    height, width = rgba.shape[:2]
    colors = rng.integers(0, 256, (2, 3)).astype(np.float32)
    down, across = np.mgrid[:height, :width].astype(np.float32)
    angle, kind = rng.uniform(0, np.pi), rng.integers(3)
    period = rng.uniform(width / 12, width / 4)
    u = (across * np.cos(angle) + down * np.sin(angle)) / period
    v = (down * np.cos(angle) - across * np.sin(angle)) / period
    if kind == 0:
        mask = (np.floor(u) + np.floor(v)) % 2
    elif kind == 1:
        mask = np.floor(u) % 2
    else:
        mask = np.hypot(u % 1 - 0.5, v % 1 - 0.5) < 0.3
    pattern = np.where(mask[..., None] > 0, colors[1], colors[0])
    alpha = rgba[..., 3:].astype(np.float32) / 255
    return np.asarray(np.rint(rgba[..., :3] * alpha + pattern * (1 - alpha))).astype(np.uint8)


HARD_KINDS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "crop": _crop,
    "blur": _blur,
    "jpeg": _jpeg,
    "grey": _grey,
    "roll": _roll,
    "background": _background,
}
# Reported separately, outside the mean of the published numbers, which are of the six above.
FURTHER_KINDS = {"side": _side}
