"""Blue noise: points of a surface thinned until none is close to another.

Sample elimination (Yuksel 2015, https://doi.org/10.1111/cgf.12538): of many candidates the most
crowded one leaves, again and again, until the number that is wanted is left. What stays has nearly
the spacing of a Poisson disk sampling, with exactly that number.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Float
from numba import njit

from triform.geometry.box_tree import box_distance, build_tree, distance
from triform.geometry.mesh import MeshError

# Where sheets lie upon each other, candidates have more neighbours than any surface gives them. The
# reach is halved until there are at most this many for each: time stays bounded whatever the mesh.
LARGEST_NEIGHBOR_COUNT = 64


def thin_out(points: Float[np.ndarray, "n 3"], count: int, area: float) -> Bool[np.ndarray, " n"]:
    """Choose points that keep away from each other.

    Args:
        points: (N, 3) candidates, spread evenly over a surface; four for each point wanted do.
        count: how many to keep, from 1 to N.
        area: of that surface; it says how far apart the points can be.

    Returns:
        (N,), true for the `count` points that stay.

    Raises:
        MeshError: `count` is out of range.
    """
    if not 1 <= count <= len(points):
        raise MeshError(f"poisson: {count} points asked for of {len(points)}, choose 1 to all")
    tree = build_tree(points)
    keep = np.zeros(len(points), dtype=bool)
    # The widest spacing that so many points on so much plane can have, and twice that.
    reach = 2 * math.sqrt(area / (2 * math.sqrt(3) * count))
    weights = np.empty(len(points))
    places = tree.points, tree.starts, tree.low, tree.high
    for _ in range(64):
        if _weigh(*places, reach, len(points) * LARGEST_NEIGHBOR_COUNT, weights):
            break
        reach /= 2
    else:
        weights[:] = 0.0
        reach = 0.0
    keep[tree.order[_eliminate(*places, reach, weights, count)]] = True
    return keep


@njit(cache=True, nogil=True)
def _weight(squared, reach):  # type: ignore[no-untyped-def]
    """How much a point at this squared distance crowds another: 1 at no distance, 0 at reach."""
    rest = 1.0 - math.sqrt(squared) / reach
    rest *= rest
    rest *= rest
    return rest * rest


@njit(cache=True, nogil=True)
def _weigh(points, starts, low, high, reach, most, weights):  # type: ignore[no-untyped-def]
    """Add up how crowded every point is; gives up, with False, after `most` neighbours."""
    num_leaves = len(starts) - 1
    stack = np.empty(128, np.int64)
    limit = reach * reach
    found = 0
    for i in range(len(points)):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        weights[i] = 0.0
        top = 0
        stack[0] = 1
        while top >= 0:
            node = stack[top]
            top -= 1
            if node < num_leaves:
                for child in (2 * node, 2 * node + 1):
                    if box_distance(low, high, child, x, y, z) < limit:
                        top += 1
                        stack[top] = child
                continue
            for j in range(starts[node - num_leaves], starts[node - num_leaves + 1]):
                squared = distance(points, j, x, y, z)
                if squared < limit and j != i:
                    weights[i] += _weight(squared, reach)
                    found += 1
        if found > most:
            return False
    return True


@njit(cache=True, nogil=True)
def _eliminate(points, starts, low, high, reach, weights, count):  # type: ignore[no-untyped-def]
    """Take the heaviest point away, and its weight from its neighbours, until `count` are left."""
    num_points, num_leaves = len(points), len(starts) - 1
    # A heap of points, the heaviest on top, and where in it every point stands.
    heap = np.arange(num_points)
    place = np.arange(num_points)
    size = num_points
    for i in range(num_points // 2 - 1, -1, -1):
        _sink(heap, place, weights, i, size)
    stack = np.empty(128, np.int64)
    limit = reach * reach
    while size > count:
        out = heap[0]
        size -= 1
        heap[0] = heap[size]
        place[heap[0]] = 0
        place[out] = -1
        _sink(heap, place, weights, 0, size)
        x, y, z = points[out, 0], points[out, 1], points[out, 2]
        top = 0
        stack[0] = 1
        while top >= 0:
            node = stack[top]
            top -= 1
            if node < num_leaves:
                for child in (2 * node, 2 * node + 1):
                    if box_distance(low, high, child, x, y, z) < limit:
                        top += 1
                        stack[top] = child
                continue
            for j in range(starts[node - num_leaves], starts[node - num_leaves + 1]):
                squared = distance(points, j, x, y, z)
                if squared < limit and place[j] >= 0:
                    weights[j] -= _weight(squared, reach)
                    _sink(heap, place, weights, place[j], size)
    return heap[:size]


@njit(cache=True, nogil=True)
def _sink(heap, place, weights, at, size):  # type: ignore[no-untyped-def]
    """Move a point down the heap to where it belongs; equals stand in the order of points."""
    point = heap[at]
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and _before(weights, heap[child + 1], heap[child]):
            child += 1
        if not _before(weights, heap[child], point):
            break
        heap[at] = heap[child]
        place[heap[at]] = at
        at = child
    heap[at] = point
    place[point] = at


@njit(cache=True, nogil=True, inline="always")
def _before(weights, one, other):  # type: ignore[no-untyped-def]
    return weights[one] > weights[other] or (weights[one] == weights[other] and one < other)
