"""Bridges between the connected components of predicted voxels, along likely paths."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Real
from scipy.ndimage import binary_dilation, binary_erosion, label
from skimage.graph import MCP_Geometric

MIN_COMPONENT_SIZE = 12
"""Components of fewer voxels are noise and get no bridge."""
BRIDGE_VALUE, BRIDGE_BORDER_VALUE = 1.0, 0.65
"""Probabilities along a bridge, and of the voxels that share a face with it."""


def bridge_components(
    values: Real[np.ndarray, "x y z"], level: float = 0.5
) -> Float[np.ndarray, "x y z"]:
    """Connect floating components to the largest one along the most probable paths.

    A decoder predicts thin parts with low probabilities: a leg of probability 0.3 vanishes at level
    0.5 and leaves its foot floating. The path of least total -log p from the foot to the seat is
    the leg.

    Args:
        values: (R, R, R) probabilities in [0, 1].
        level: voxels above it are occupied.

    Returns:
        (R, R, R) probabilities with bridges three voxels wide; components of fewer than
        `MIN_COMPONENT_SIZE` voxels stay apart.
    """
    probabilities: np.ndarray = np.asarray(values, dtype=np.float64)
    labels, count = label(probabilities > level)
    if count < 2:
        return np.array(probabilities)
    sizes = np.bincount(labels.ravel())[1:]
    main_component = int(sizes.argmax()) + 1
    cost = -np.log(np.clip(probabilities, 1e-6, 1.0)) + 1e-3
    paths = MCP_Geometric(cost, fully_connected=False)
    # No path to the outside begins inside: the surface is a tenth of the starts, each of which
    # takes the search ten microseconds.
    is_main = labels == main_component
    path_costs, _ = paths.find_costs(np.argwhere(is_main & ~binary_erosion(is_main)))
    bridges = np.zeros(probabilities.shape, dtype=bool)
    for component in range(1, count + 1):
        if component == main_component or sizes[component - 1] < MIN_COMPONENT_SIZE:
            continue
        component_voxels = np.argwhere(labels == component)
        start = component_voxels[path_costs[tuple(component_voxels.T)].argmin()]
        path = tuple(np.asarray(paths.traceback(start)).T)
        bridges[path] = True
    joined = np.where(
        binary_dilation(bridges), np.maximum(probabilities, BRIDGE_BORDER_VALUE), probabilities
    )
    joined[bridges] = BRIDGE_VALUE
    return np.asarray(joined)
