"""Exact farthest-point sampling, accelerated by a bounding volume hierarchy.

A newly selected point changes only points that are nearer to it than their distance so far. Nodes
with the largest such distance inside them find these few.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from triform.base.compiled import njit
from triform.geometry.mesh import MAX_COORDINATE, MeshError
from triform.geometry.sampling.bvh import box_distance, build_bvh, distance


def farthest_point_sample(
    points: Float[np.ndarray, "n 3"], count: int, start: int = 0
) -> Int[np.ndarray, " k"]:
    """Select points one by one, each as far as possible from all before it.

    The selection equals that of the brute-force algorithm bit for bit: the first in the array among
    equally far points, and no point twice. The first k are the selection for k.

    Args:
        points: (N, 3), none beyond 1e15.
        count: number of points to select, K, from 1 to N.
        start: index of the first point.

    Returns:
        (K,) int64 indices into `points`, in the order of selection.

    Raises:
        MeshError: `count` or `start` is out of range, or a point is not finite or too far.
    """
    if not 1 <= count <= len(points):
        raise MeshError(f"farthest points: {count} asked for of {len(points)}, choose 1 to all")
    if not 0 <= start < len(points):
        raise MeshError(f"farthest points: start is {start}, choose 0 to {len(points) - 1}")
    # Written so that NaN fails as well.
    if not bool((np.abs(points) <= MAX_COORDINATE).all()):
        raise MeshError("farthest points: the points hold NaN, infinity or a value beyond 1e15")
    bvh = build_bvh(points)
    selected = np.empty(count, dtype=np.int64)
    _farthest_point_sample(bvh, start, selected)
    return selected


@njit(cache=True, nogil=True)
def _farthest_point_sample(bvh, start, selected):  # type: ignore[no-untyped-def]
    order, points, starts, low, high = bvh.order, bvh.points, bvh.starts, bvh.low, bvh.high
    num_points, num_leaves = len(points), len(starts) - 1
    # Squared distance to the nearest selected point; -1 for selected points.
    nearest = np.full(num_points, np.inf)
    # The largest of these in every node, and the index of its point.
    max_distance = np.full(2 * num_leaves, np.inf)
    argmax = np.zeros(2 * num_leaves, np.int64)
    leaf_of = np.empty(num_points, np.int64)
    for leaf in range(num_leaves):
        for i in range(starts[leaf], starts[leaf + 1]):
            leaf_of[i] = num_leaves + leaf
    stack = np.empty(128, np.int64)

    current = 0
    for i in range(num_points):
        if order[i] == start:
            current = i
    for k in range(len(selected)):
        selected[k] = order[current]
        nearest[current] = -1.0
        x, y, z = points[current, 0], points[current, 1], points[current, 2]
        top = 0
        stack[0] = 1
        while top >= 0:
            node = stack[top]
            top -= 1
            if node < num_leaves:
                for child in (2 * node, 2 * node + 1):
                    if box_distance(low, high, child, x, y, z) < max_distance[child]:
                        top += 1
                        stack[top] = child
            else:
                leaf = node - num_leaves
                for i in range(starts[leaf], starts[leaf + 1]):
                    nearest[i] = min(nearest[i], distance(points, i, x, y, z))
                _update_max(node, order, starts, nearest, max_distance, argmax)
        # Its own leaf may have been pruned: at distance 0 among points at distance 0.
        _update_max(leaf_of[current], order, starts, nearest, max_distance, argmax)
        current = argmax[1]


@njit(cache=True, nogil=True)
def _update_max(node, order, starts, nearest, max_distance, argmax):  # type: ignore[no-untyped-def]
    """Update the farthest point of a leaf node, and of its ancestors as far as they change."""
    leaf = node - (len(starts) - 1)
    farthest = starts[leaf]
    for i in range(starts[leaf] + 1, starts[leaf + 1]):
        if nearest[i] > nearest[farthest] or (
            nearest[i] == nearest[farthest] and order[i] < order[farthest]
        ):
            farthest = i
    distance_of_farthest = nearest[farthest]
    while max_distance[node] != distance_of_farthest or argmax[node] != farthest:
        max_distance[node] = distance_of_farthest
        argmax[node] = farthest
        if node == 1:
            break
        other = argmax[node ^ 1]
        if max_distance[node ^ 1] > distance_of_farthest or (
            max_distance[node ^ 1] == distance_of_farthest and order[other] < order[farthest]
        ):
            distance_of_farthest = max_distance[node ^ 1]
            farthest = other
        node >>= 1
