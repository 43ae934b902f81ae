"""Feet that end in one plane, so that a generated shape stands."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.ndimage import label

MAX_GAP = 1.5
"""Samples from the lowest foot up to which another part is a foot that is too short."""


def level_feet(distance: Float[np.ndarray, "x y z"]) -> Float[np.ndarray, "x y z"]:
    """Cut a shape off at the height where the shortest of its feet ends.

    Feet are the connected parts of the shape below MAX_GAP over its lowest point. At most MAX_GAP
    samples are lost; a shape with one foot, or without any, stays as it is.

    Args:
        distance: (R, R, R) in voxels, indexed x, y, z with +Y up, negative inside.
    """
    inside = distance < 0
    if not inside.any():
        return distance
    lowest = int(np.flatnonzero(inside.any(axis=(0, 2)))[0])
    band = slice(lowest, lowest + int(np.ceil(MAX_GAP)) + 1)
    heights = lowest_crossings(distance[:, : band.stop])
    feet, count = label(inside[:, band].any(axis=1), structure=np.ones((3, 3)))
    bottoms = np.array([heights[feet == number].min() for number in range(1, count + 1)])
    bottoms = bottoms[bottoms <= bottoms.min() + MAX_GAP]
    if len(bottoms) < 2:
        return distance
    below_plane = bottoms.max() - np.arange(distance.shape[1], dtype=distance.dtype)
    return np.asarray(np.maximum(distance, below_plane[None, :, None]))


def lowest_crossings(distance: Float[np.ndarray, "x y z"]) -> Float[np.ndarray, "x z"]:
    """Height at which each column enters the shape from below, in samples; infinite for none."""
    inside = distance < 0
    first = inside.argmax(axis=1)
    columns = np.ix_(*map(np.arange, first.shape))
    at = distance[columns[0], first, columns[1]]
    before = distance[columns[0], np.maximum(first - 1, 0), columns[1]]
    # Where a column begins inside, the surface is taken to lie at its first sample.
    share = np.where(first > 0, before / np.where(first > 0, before - at, 1), 0)
    heights = np.maximum(first - 1, 0) + share
    return np.where(inside.any(axis=1), heights, np.inf)
