"""A bounding volume hierarchy over points, for neighbour queries in kernels.

The points are sorted along a Morton curve and split into leaves of equal size; every inner node has
the bounding box of its two children. The tree is balanced for any points, equal ones included.

Node 1 is the root, node n has the children 2n and 2n + 1, and the leaves are the last half of the
array. Rounding is monotonic, so that the computed distance to a box is never larger than that to a
point in it: pruning by boxes changes no result.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from triform.base.compiled import njit

# Most points in a leaf: fewer cost more nodes, more cost more distances.
MAX_LEAF_SIZE = 16
MORTON_BITS = 21


class BVH(NamedTuple):
    """Points in Morton order, and the bounding boxes of the nodes.

    Attributes:
        order: (N,) index of every point in the original array.
        points: (N, 3) float64.
        starts: (L + 1,) first point of every leaf; leaf i is node L + i.
        low: (2 L, 3) lowest corners of the boxes.
        high: (2 L, 3) highest corners.
    """

    order: Int[np.ndarray, " n"]
    points: Float[np.ndarray, "n 3"]
    starts: Int[np.ndarray, " l"]
    low: Float[np.ndarray, "m 3"]
    high: Float[np.ndarray, "m 3"]


def build_bvh(points: Float[np.ndarray, "n 3"]) -> BVH:
    """Build the hierarchy of one or more finite points (N, 3)."""
    points = np.ascontiguousarray(points, dtype=np.float64)
    order, starts, low, high = build_boxes(points, points)
    return BVH(order, points[order], starts, low, high)


def build_boxes(
    box_low: Float[np.ndarray, "n 3"],
    box_high: Float[np.ndarray, "n 3"],
    max_leaf_size: int = MAX_LEAF_SIZE,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Sort boxes by the Morton code of their centres and bound the nodes of the tree.

    Args:
        box_low: (N, 3) lowest corner of each box.
        box_high: (N, 3) highest corner.
        max_leaf_size: most boxes in a leaf.

    Returns:
        `order`, `starts`, `low`, `high` as in `BVH`.
    """
    centers = box_low + (box_high - box_low) / 2
    longest_side = (centers - centers.min(axis=0)).max()
    scale = (2**MORTON_BITS - 1) / longest_side if longest_side > 0 else 0.0
    cells = ((centers - centers.min(axis=0)) * scale).astype(np.uint64)
    morton_codes = (
        _interleave(cells[:, 0]) | _interleave(cells[:, 1]) << 1 | _interleave(cells[:, 2]) << 2
    )
    order = np.argsort(morton_codes, kind="stable")
    num_leaves = 1
    while num_leaves * max_leaf_size < len(centers):
        num_leaves *= 2
    starts = np.arange(num_leaves + 1) * len(centers) // num_leaves
    low = np.empty((2 * num_leaves, 3))
    high = np.empty((2 * num_leaves, 3))
    _fit_boxes(box_low[order], box_high[order], starts, low, high)
    return order, starts, low, high


def _interleave(values: np.ndarray) -> np.ndarray:
    """Insert two zero bits between the bits of 21-bit numbers."""
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
def _fit_boxes(box_low, box_high, starts, low, high):  # type: ignore[no-untyped-def]
    num_leaves = len(starts) - 1
    for leaf in range(num_leaves):
        node = num_leaves + leaf
        low[node] = np.inf
        high[node] = -np.inf
        for i in range(starts[leaf], starts[leaf + 1]):
            for axis in range(3):
                low[node, axis] = min(low[node, axis], box_low[i, axis])
                high[node, axis] = max(high[node, axis], box_high[i, axis])
    for node in range(num_leaves - 1, 0, -1):
        for axis in range(3):
            low[node, axis] = min(low[2 * node, axis], low[2 * node + 1, axis])
            high[node, axis] = max(high[2 * node, axis], high[2 * node + 1, axis])


@njit(cache=True, nogil=True, inline="always")
def box_distance(low, high, node, x, y, z):  # type: ignore[no-untyped-def]
    """Squared distance from (x, y, z) to a node's box, 0 inside."""
    dx = max(low[node, 0] - x, x - high[node, 0], 0.0)
    dy = max(low[node, 1] - y, y - high[node, 1], 0.0)
    dz = max(low[node, 2] - z, z - high[node, 2], 0.0)
    return dx * dx + dy * dy + dz * dz


@njit(cache=True, nogil=True, inline="always")
def distance(points, i, x, y, z):  # type: ignore[no-untyped-def]
    """Squared distance from (x, y, z) to a point."""
    dx = points[i, 0] - x
    dy = points[i, 1] - y
    dz = points[i, 2] - z
    return dx * dx + dy * dy + dz * dz


@njit(cache=True, nogil=True)
def find_leaves(bvh, x, y, z, squared_radius, stack, leaves):  # type: ignore[no-untyped-def]
    """Write the leaves whose box is nearer to (x, y, z) than a radius; return their number.

    `stack` (128,) and `leaves` (L,) are int64 buffers.
    """
    num_leaves = len(bvh.starts) - 1
    top, found = 0, 0
    stack[0] = 1
    while top >= 0:
        node = stack[top]
        top -= 1
        if node >= num_leaves:
            leaves[found] = node - num_leaves
            found += 1
            continue
        for child in (2 * node, 2 * node + 1):
            if box_distance(bvh.low, bvh.high, child, x, y, z) < squared_radius:
                top += 1
                stack[top] = child
    return found
