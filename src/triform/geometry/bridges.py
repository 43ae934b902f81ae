"""Joining the parts of a probability grid where the grid itself hints that they belong together."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Real
from scipy.ndimage import binary_dilation, label
from skimage.graph import MCP_Geometric

SPECK = 12
"""A part of fewer voxels is noise and stays unjoined."""
CORE, RIM = 1.0, 0.65
"""Values of a bridge's path and of the voxels that touch its faces."""


def bridge_parts(
    values: Real[np.ndarray, "x y z"], level: float = 0.5
) -> Float[np.ndarray, "x y z"]:
    """Join what floats to the largest part, along the most probable ways.

    Thin parts come out of a decoder faint: a leg of probability 0.3 vanishes at level 0.5 and
    leaves its foot floating. The way of least total -log p from the foot to the seat is the leg.

    Args:
        values: (R, R, R) probabilities in [0, 1].
        level: inside is above it.

    Returns:
        The grid with bridges three voxels wide; parts of fewer than `SPECK` voxels stay apart.
    """
    grid: np.ndarray = np.asarray(values, dtype=np.float64)
    parts, count = label(grid > level)
    if count < 2:
        return np.array(grid)
    sizes = np.bincount(parts.ravel())[1:]
    main = int(sizes.argmax()) + 1
    cost = -np.log(np.clip(grid, 1e-6, 1.0)) + 1e-3
    ways = MCP_Geometric(cost, fully_connected=False)
    reached, _ = ways.find_costs(np.argwhere(parts == main))
    bridges = np.zeros(grid.shape, dtype=bool)
    for part in range(1, count + 1):
        if part == main or sizes[part - 1] < SPECK:
            continue
        inside = np.argwhere(parts == part)
        start = inside[reached[tuple(inside.T)].argmin()]
        way = tuple(np.asarray(ways.traceback(start)).T)
        bridges[way] = True
    joined = np.where(binary_dilation(bridges), np.maximum(grid, RIM), grid)
    joined[bridges] = CORE
    return np.asarray(joined)
