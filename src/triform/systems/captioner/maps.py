"""Where each word of a caption looked, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from triform.base.files import atomic_write
from triform.geometry.sheet import contact_sheet

SIDE = 160
DIM = 0.15
"""Brightness of what was not looked at."""


def draw_attention(
    picture: np.ndarray, words: Sequence[str], looked: np.ndarray, path: Path
) -> None:
    """Draw the picture once for each word, bright where the word looked.

    Args:
        picture: (S, S, 3) uint8.
        words: T of them.
        looked: (T, L) attention over a square grid of L places, row by row.
        path: PNG to write; its folder is made.
    """
    large = np.asarray(Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.NEAREST))
    side = round(looked.shape[1] ** 0.5)
    shown = [large]
    for weights in looked:
        grid = Image.fromarray((weights / weights.max()).reshape(side, side).astype(np.float32))
        light = np.asarray(grid.resize((SIDE, SIDE), Image.Resampling.BICUBIC)).clip(0, 1)
        # Over grey, so that what is black anyway can be told from what was not looked at.
        lit = 90 + large * (165 / 255)
        shown.append(np.rint(lit * (DIM + (1 - DIM) * light[..., None])).astype(np.uint8))
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as stream:
        contact_sheet(shown, ["", *words], min(6, len(shown))).save(stream, "PNG")
