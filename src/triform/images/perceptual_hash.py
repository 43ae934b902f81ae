"""Perceptual hashes: equal or nearly so for copies of an image in other sizes and qualities.

The hash is that of the library ImageHash (`phash`): the signs, about their median, of the 8 x 8
lowest frequencies of the grey image. Frequencies say nothing about colour and little about images
of one colour, so that a tiny image is kept and compared as well. Both are computed from an image
that was averaged to twice the pixels that the transform needs. Until 2026-12-01 they were computed
from the whole image. Those hashes differ from today's in no bit for most photos and in up to 4 of
64, less than copies of a photo do, so that an index may hold both (docs/log.md).
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dct

SIDE, LOW = 32, 8
"""Pixels of the grey image that is transformed, and frequencies that are used, along each side."""
MAX_BITS = 8
"""Bits in which hashes of copies of an image differ, at most."""
MAX_COLOR_DIFFERENCE = 12.0
"""Mean difference of their tiny images, of 255, at most."""
FLAT_LEVELS = 2.0
"""Standard deviation of the grey values of images without a pattern; their hash is 0."""
_COSINES = dct(np.eye(SIDE), axis=0)[:LOW]
"""(LOW, SIDE), the lowest frequencies of a column as a product, much faster than a transform."""
_OVERSAMPLING = 2
"""Pixels of the averaged image for each of the grey one, at least, along its shorter side."""
_BYTES = LOW * LOW // 8
_COLORS = LOW * LOW * 3
_ROWS_AT_ONCE = 2048


@dataclass(frozen=True)
class PerceptualHash:
    """A hash of 64 bits and a tiny image.

    Attributes:
        bits: (8,) uint8.
        colors: (192,) uint8, RGB of 8 x 8 pixels.
    """

    bits: NDArray[np.uint8]
    colors: NDArray[np.uint8]

    def to_text(self) -> str:
        """The hash as text for records."""
        return self.bits.tobytes().hex() + base64.b64encode(self.colors.tobytes()).decode()

    @classmethod
    def from_text(cls, text: str) -> PerceptualHash:
        """The hash of a record.

        Raises:
            ValueError: It is none.
        """
        bits = np.frombuffer(bytes.fromhex(text[: 2 * _BYTES]), np.uint8)
        colors = np.frombuffer(base64.b64decode(text[2 * _BYTES :], validate=True), np.uint8)
        if len(bits) != _BYTES or len(colors) != _COLORS:
            raise ValueError("no perceptual hash")
        return cls(bits, colors)


def perceptual_hash(image: Image.Image) -> PerceptualHash:
    """Hash of an RGB image of any size."""
    factor = max(1, min(image.size) // (_OVERSAMPLING * SIDE))
    # The last pixels of the averaged image may stand for fewer than the others.
    box = (0.0, 0.0, image.width / factor, image.height / factor)
    small = image.reduce(factor)
    tiny = small.resize((LOW, LOW), Image.Resampling.BOX, box)
    colors = np.frombuffer(tiny.convert("RGB").tobytes(), np.uint8)
    square = small.convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS, box)
    grey = np.asarray(square, np.float64)
    if grey.std() < FLAT_LEVELS:
        return PerceptualHash(np.zeros(_BYTES, np.uint8), colors)
    low = _COSINES @ grey @ _COSINES.T
    # The median of an even number, without what makes `numpy.median` slow for so few.
    middle = np.sort(low, axis=None)[low.size // 2 - 1 : low.size // 2 + 1].mean()
    return PerceptualHash(np.packbits(low > middle), colors)


def same_image_pairs(hashes: list[PerceptualHash]) -> NDArray[np.int64]:
    """Pairs (P, 2) of hashes, the first index the smaller one, that are of the same image."""
    if not hashes:
        return np.zeros((0, 2), np.int64)
    # Of signs +1 and -1 the product counts equal bits without the different ones.
    signs = (
        2 * np.unpackbits(np.stack([each.bits for each in hashes]), axis=1).astype(np.float32) - 1
    )
    least = signs.shape[1] - 2 * MAX_BITS
    near = []
    for start in range(0, len(signs), _ROWS_AT_ONCE):
        rows, columns = np.nonzero(signs[start : start + _ROWS_AT_ONCE] @ signs[start:].T >= least)
        near.append(np.stack([rows, columns])[:, rows < columns] + start)
    first, second = np.concatenate(near, axis=1)
    colors = np.stack([each.colors for each in hashes]).astype(np.int16)
    difference = np.abs(colors[first] - colors[second]).mean(axis=1)
    is_same = difference <= MAX_COLOR_DIFFERENCE
    return np.stack([first[is_same], second[is_same]], axis=1)
