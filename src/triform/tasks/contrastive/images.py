"""Images as inputs of an encoder that is trained from scratch."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from triform.datasets.captioned.table import CaptionTable
from triform.images.framing import frame_on_white

CACHE_BYTES = 2**30
"""Resized images are kept in memory if all of them fit into this."""


def resize(image: np.ndarray | Image.Image, size: int, *, frame: bool = False) -> np.ndarray:
    """Scale an image and crop its middle to (size, size, C) uint8.

    Args:
        image: (H, W, C) uint8 sRGB.
        size: Rows and columns of the result.
        frame: First crop white edges and pad to a square (RGB).
    """
    if frame:
        image = frame_on_white(np.asarray(image))
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    if image.size == (size, size):
        return np.asarray(image)
    return np.asarray(ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC))


def to_tensor(images: np.ndarray) -> Tensor:
    """(B, S, S, C) uint8 to (B, C, S, S) float32 in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255


class ResizedImages:
    """Resized images of a table by row; kept in memory if all of them fit."""

    def __init__(self, table: CaptionTable, size: int, *, channels: int = 3, frame: bool = False):
        self.table, self.size, self.frame = table, size, frame
        self._is_cached = np.zeros(len(table), bool)
        shape = (len(table), size, size, channels)
        self._cache = np.zeros(shape, np.uint8) if np.prod(shape) <= CACHE_BYTES else None

    def __call__(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """(B, size, size, channels) uint8."""
        rows = np.asarray(rows, int)
        if self._cache is None:
            with ThreadPoolExecutor(4) as pool:
                return np.stack(list(pool.map(self._read, rows)))
        for row in rows[~self._is_cached[rows]]:
            self._cache[row], self._is_cached[row] = self._read(row), True
        return np.asarray(self._cache[rows])

    def _read(self, row: int) -> np.ndarray:
        return resize(self.table.images.image(int(row)), self.size, frame=self.frame)
