"""Attention maps of a caption as an image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from triform.base.files import atomic_write
from triform.images.contact_sheet import contact_sheet

SIDE = 160
MIN_BRIGHTNESS = 0.15
"""Brightness of positions without attention."""


def draw_attention(
    image: np.ndarray, words: Sequence[str], weights: np.ndarray, path: Path
) -> None:
    """Draw the image once for each word, brighter where the word's attention is higher.

    Args:
        image: (S, S, 3) uint8.
        words: T words.
        weights: (T, L) attention over a square grid of L positions, row by row.
        path: PNG to write; its folder is created.
    """
    large = np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.NEAREST))
    grid_size = round(weights.shape[1] ** 0.5)
    tiles = [large]
    for row in weights:
        grid = (row / row.max()).reshape(grid_size, grid_size).astype(np.float32)
        heatmap = Image.fromarray(grid).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        brightness = MIN_BRIGHTNESS + (1 - MIN_BRIGHTNESS) * np.asarray(heatmap).clip(0, 1)
        # Over grey, so that black pixels differ from pixels without attention.
        on_grey = 90 + large * (165 / 255)
        tiles.append(np.rint(on_grey * brightness[..., None]).astype(np.uint8))
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as stream:
        contact_sheet(tiles, ["", *words], min(6, len(tiles))).save(stream, "PNG")
