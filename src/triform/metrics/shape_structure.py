"""Structure of single shapes: the number of legs that a shape stands on."""

from __future__ import annotations

from collections import Counter

import numpy as np
from jaxtyping import Bool
from scipy.ndimage import label

LEG_HEIGHTS = (0.05, 0.15)
"""Slices between these shares of the height are looked at."""
EIGHT_NEIGHBORS = np.ones((3, 3), dtype=int)


def count_legs(occupancy: Bool[np.ndarray, "x y z"]) -> int:
    """Number of separate parts that a shape stands on.

    The connected components of the horizontal slices at 5 to 15 % of the shape's height are
    counted, and the most frequent number, of equal ones the smallest, is the answer.

    Args:
        occupancy: (R, R, R), indexed x, y, z with +Y up.

    Returns:
        0 for an empty grid; 1 for a shape with a base.
    """
    heights = np.flatnonzero(occupancy.any(axis=(0, 2)))
    if not len(heights):
        return 0
    bottom, top = heights[0], heights[-1] + 1
    first, last = (bottom + share * (top - bottom) for share in LEG_HEIGHTS)
    rows = range(int(np.floor(first)), max(int(np.ceil(last)), int(np.floor(first)) + 1))
    counts = Counter(int(label(occupancy[:, row], EIGHT_NEIGHBORS)[1]) for row in rows)
    return min(counts, key=lambda number: (-counts[number], number))
