"""A balanced tree of boxes over points, for the kernels that ask what lies near.

The points are sorted along a Morton curve, which keeps neighbours together, and cut into runs of
equal length. A run is a leaf; every node above holds the box around its two children. However the
points lie, equal ones among them, the tree is balanced.

Node 1 is the root, node n has the children 2n and 2n + 1, and the leaves are the last half of the
array. Boxes of computed coordinates and rounding that never reorders make the distance to a box
never larger than to a point in it, as computed: what a kernel prunes by it changes nothing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numba import njit

# Points in a leaf, at most: fewer cost more nodes, more cost more distances.
LEAF_SIZE = 16
_BITS = 21


class BoxTree(NamedTuple):
    """Points in the tree's order, and the boxes of its nodes.

    Attributes:
        order: (N,) the row in the caller's array of every point here.
        points: (N, 3) float64, the points themselves.
        starts: (L + 1,) where the leaves begin; leaf i is node L + i.
        low: (2 L, 3) lowest corner of the nodes' boxes.
        high: (2 L, 3) highest corner.
    """

    order: Int[np.ndarray, " n"]
    points: Float[np.ndarray, "n 3"]
    starts: Int[np.ndarray, " l"]
    low: Float[np.ndarray, "m 3"]
    high: Float[np.ndarray, "m 3"]


def build_tree(points: Float[np.ndarray, "n 3"]) -> BoxTree:
    """Sort points into a tree.

    Args:
        points: (N, 3), finite, N at least 1.
    """
    points = np.ascontiguousarray(points, dtype=np.float64)
    side = (points - points.min(axis=0)).max()
    scale = (2**_BITS - 1) / side if side > 0 else 0.0
    cells = ((points - points.min(axis=0)) * scale).astype(np.uint64)
    codes = _spread(cells[:, 0]) | _spread(cells[:, 1]) << 1 | _spread(cells[:, 2]) << 2
    order = np.argsort(codes, kind="stable")
    num_leaves = 1
    while num_leaves * LEAF_SIZE < len(points):
        num_leaves *= 2
    starts = np.arange(num_leaves + 1) * len(points) // num_leaves
    low = np.empty((2 * num_leaves, 3))
    high = np.empty((2 * num_leaves, 3))
    placed = points[order]
    _fill_boxes(placed, starts, low, high)
    return BoxTree(order, placed, starts, low, high)


def _spread(values: np.ndarray) -> np.ndarray:
    """Put two empty bits between the bits of numbers of 21 bits."""
    values = values.astype(np.uint64)
    for shift, mask in (
        (32, 0x1F00000000FFFF),
        (16, 0x1F0000FF0000FF),
        (8, 0x100F00F00F00F00F),
        (4, 0x10C30C30C30C30C3),
        (2, 0x1249249249249249),
    ):
        values = (values | values << np.uint64(shift)) & np.uint64(mask)
    return values


@njit(cache=True, nogil=True)
def _fill_boxes(points, starts, low, high):  # type: ignore[no-untyped-def]
    num_leaves = len(starts) - 1
    for leaf in range(num_leaves):
        node = num_leaves + leaf
        low[node] = np.inf
        high[node] = -np.inf
        for i in range(starts[leaf], starts[leaf + 1]):
            for axis in range(3):
                low[node, axis] = min(low[node, axis], points[i, axis])
                high[node, axis] = max(high[node, axis], points[i, axis])
    for node in range(num_leaves - 1, 0, -1):
        for axis in range(3):
            low[node, axis] = min(low[2 * node, axis], low[2 * node + 1, axis])
            high[node, axis] = max(high[2 * node, axis], high[2 * node + 1, axis])


@njit(cache=True, nogil=True, inline="always")
def box_distance(low, high, node, x, y, z):  # type: ignore[no-untyped-def]
    """Squared distance from a place to a node's box, 0 inside."""
    dx = max(low[node, 0] - x, x - high[node, 0], 0.0)
    dy = max(low[node, 1] - y, y - high[node, 1], 0.0)
    dz = max(low[node, 2] - z, z - high[node, 2], 0.0)
    return dx * dx + dy * dy + dz * dz


@njit(cache=True, nogil=True, inline="always")
def distance(points, i, x, y, z):  # type: ignore[no-untyped-def]
    """Squared distance from a place to a point."""
    dx = points[i, 0] - x
    dy = points[i, 1] - y
    dz = points[i, 2] - z
    return dx * dx + dy * dy + dz * dz
