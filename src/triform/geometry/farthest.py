"""Farthest-point sampling, exact and fast.

The definition asks for the distance of every point to every chosen one. Most of these cannot
matter: a newly chosen point changes only points nearer to it than their distance so far. A tree of
boxes, each with the largest such distance in it, finds those few.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from numba import njit

from triform.geometry.box_tree import box_distance, build_tree, distance
from triform.geometry.mesh import LARGEST_COORDINATE, MeshError


def farthest_points(
    points: Float[np.ndarray, "n 3"], count: int, start: int = 0
) -> Int[np.ndarray, " k"]:
    """Choose points one by one, each as far as possible from all before it.

    The choice is the one of the plain definition, bit for bit: among equally far points the first
    in the array, and no point twice. The first k of the answer are the answer for k.

    Args:
        points: (N, 3), none beyond 1e15.
        count: how many to choose, K, from 1 to N.
        start: the point to begin with.

    Returns:
        (K,) int64 indices into `points`, in the order of choice.

    Raises:
        MeshError: `count` or `start` is out of range, or a point lies nowhere.
    """
    if not 1 <= count <= len(points):
        raise MeshError(f"farthest points: {count} asked for of {len(points)}, choose 1 to all")
    if not 0 <= start < len(points):
        raise MeshError(f"farthest points: start is {start}, choose 0 to {len(points) - 1}")
    # Written so that NaN fails as well.
    if not bool((np.abs(points) <= LARGEST_COORDINATE).all()):
        raise MeshError("farthest points: the points hold NaN, infinity or a value beyond 1e15")
    tree = build_tree(points)
    chosen = np.empty(count, dtype=np.int64)
    _choose(tree.order, tree.points, tree.starts, tree.low, tree.high, start, chosen)
    return chosen


@njit(cache=True, nogil=True)
def _choose(order, points, starts, low, high, start, chosen):  # type: ignore[no-untyped-def]
    num_points, num_leaves = len(points), len(starts) - 1
    # Squared distance to the nearest chosen point; -1 once the point itself is chosen.
    nearest = np.full(num_points, np.inf)
    # The largest of these below every node, and which point has it.
    largest = np.full(2 * num_leaves, np.inf)
    holder = np.zeros(2 * num_leaves, np.int64)
    leaf_of = np.empty(num_points, np.int64)
    for leaf in range(num_leaves):
        for i in range(starts[leaf], starts[leaf + 1]):
            leaf_of[i] = num_leaves + leaf
    stack = np.empty(128, np.int64)

    at = 0
    for i in range(num_points):
        if order[i] == start:
            at = i
    for k in range(len(chosen)):
        chosen[k] = order[at]
        nearest[at] = -1.0
        x, y, z = points[at, 0], points[at, 1], points[at, 2]
        top = 0
        stack[0] = 1
        while top >= 0:
            node = stack[top]
            top -= 1
            if node < num_leaves:
                for child in (2 * node, 2 * node + 1):
                    if box_distance(low, high, child, x, y, z) < largest[child]:
                        top += 1
                        stack[top] = child
            else:
                leaf = node - num_leaves
                for i in range(starts[leaf], starts[leaf + 1]):
                    nearest[i] = min(nearest[i], distance(points, i, x, y, z))
                _settle(node, leaf, order, starts, nearest, largest, holder)
        # Its own leaf may have been passed over: at distance 0 among points at distance 0.
        _settle(leaf_of[at], leaf_of[at] - num_leaves, order, starts, nearest, largest, holder)
        at = holder[1]


@njit(cache=True, nogil=True)
def _settle(node, leaf, order, starts, nearest, largest, holder):  # type: ignore[no-untyped-def]
    """Find the farthest point of a leaf, and of all above it as far as that changes anything."""
    best = starts[leaf]
    for i in range(starts[leaf] + 1, starts[leaf + 1]):
        if nearest[i] > nearest[best] or (nearest[i] == nearest[best] and order[i] < order[best]):
            best = i
    value = nearest[best]
    while largest[node] != value or holder[node] != best:
        largest[node] = value
        holder[node] = best
        if node == 1:
            break
        other = holder[node ^ 1]
        if largest[node ^ 1] > value or (largest[node ^ 1] == value and order[other] < order[best]):
            value = largest[node ^ 1]
            best = other
        node >>= 1
