"""A thing on white, brought to the middle: catalogues and makers leave margins of their own."""

from __future__ import annotations

import numpy as np
from PIL import Image

MARGIN = 0.06
"""White on each side of the thing, as a share of its longest side."""
WHITE = 250


def framed(picture: np.ndarray, inside: np.ndarray | None = None) -> np.ndarray:
    """A square with the thing in its middle; a picture without white edges only becomes square.

    Args:
        picture: (H, W, 3) uint8.
        inside: (H, W) bool, where the thing is; what is not white where it is not given.

    Returns:
        (S, S, 3) uint8.
    """
    shown = (picture < WHITE).any(2) if inside is None else inside
    rows, columns = np.nonzero(shown)
    if len(rows):
        picture = picture[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    height, width = picture.shape[:2]
    longest = round(max(height, width) * (1 + 2 * MARGIN))
    square = Image.new("RGB", (longest, longest), (255, 255, 255))
    square.paste(Image.fromarray(picture), ((longest - width) // 2, (longest - height) // 2))
    return np.asarray(square)
