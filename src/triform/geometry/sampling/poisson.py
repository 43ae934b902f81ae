"""Poisson disk sampling (blue noise) by weighted sample elimination.

Yuksel 2015, https://doi.org/10.1111/cgf.12538: of many candidates the one with the largest weight,
the most crowded, is removed until the requested number is left. The result has nearly the spacing
of a Poisson disk sampling, with exactly that number of points.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Float

from triform.base.compiled import njit
from triform.geometry.mesh import MeshError
from triform.geometry.sampling.bvh import build_bvh, distance, find_leaves

# Coincident sheets give candidates any number of neighbours. The radius is halved until the mean is
# at most this many, which bounds the time for any mesh.
MAX_NEIGHBORS = 64


def eliminate_samples(
    points: Float[np.ndarray, "n 3"], count: int, area: float
) -> Bool[np.ndarray, " n"]:
    """Select points that are far from each other.

    Args:
        points: (N, 3) candidates, evenly on a surface; four times `count` are enough.
        count: number of points to select, from 1 to N.
        area: area of the surface, which bounds the spacing.

    Returns:
        (N,) mask, true for the `count` selected points.

    Raises:
        MeshError: `count` is out of range.
    """
    if not 1 <= count <= len(points):
        raise MeshError(f"poisson: {count} points asked for of {len(points)}, choose 1 to all")
    bvh = build_bvh(points)
    selected = np.zeros(len(points), dtype=bool)
    # Twice the largest possible spacing of `count` points on a plane of this area.
    radius = 2 * math.sqrt(area / (2 * math.sqrt(3) * count))
    weights = np.empty(len(points))
    for _ in range(64):
        if _compute_weights(bvh, radius, len(points) * MAX_NEIGHBORS, weights):
            break
        radius /= 2
    else:
        weights[:] = 0.0
        radius = 0.0
    selected[bvh.order[_eliminate(bvh, radius, weights, count)]] = True
    return selected


@njit(cache=True, nogil=True)
def _weight(squared, radius):  # type: ignore[no-untyped-def]
    """Weight of a neighbour at a squared distance: 1 at distance 0, 0 at the radius."""
    falloff = 1.0 - math.sqrt(squared) / radius
    falloff *= falloff
    falloff *= falloff
    return falloff * falloff


@njit(cache=True, nogil=True)
def _compute_weights(bvh, radius, max_neighbors, weights):  # type: ignore[no-untyped-def]
    """Sum the weights of every point's neighbours; False after more than `max_neighbors`."""
    points = bvh.points
    stack, leaves = np.empty(128, np.int64), np.empty(len(bvh.starts), np.int64)
    squared_radius = radius * radius
    num_neighbors = 0
    for i in range(len(points)):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        weights[i] = 0.0
        for leaf in leaves[: find_leaves(bvh, x, y, z, squared_radius, stack, leaves)]:
            for j in range(bvh.starts[leaf], bvh.starts[leaf + 1]):
                squared = distance(points, j, x, y, z)
                if squared < squared_radius and j != i:
                    weights[i] += _weight(squared, radius)
                    num_neighbors += 1
        if num_neighbors > max_neighbors:
            return False
    return True


@njit(cache=True, nogil=True)
def _eliminate(bvh, radius, weights, count):  # type: ignore[no-untyped-def]
    """Remove the heaviest point, and its weight from its neighbours, until `count` are left."""
    points, num_points = bvh.points, len(bvh.points)
    # A max-heap of points by weight, and the position of every point in it.
    heap = np.arange(num_points)
    heap_position = np.arange(num_points)
    size = num_points
    for i in range(num_points // 2 - 1, -1, -1):
        _sift_down(heap, heap_position, weights, i, size)
    stack, leaves = np.empty(128, np.int64), np.empty(len(bvh.starts), np.int64)
    squared_radius = radius * radius
    while size > count:
        removed = heap[0]
        size -= 1
        heap[0] = heap[size]
        heap_position[heap[0]] = 0
        heap_position[removed] = -1
        _sift_down(heap, heap_position, weights, 0, size)
        x, y, z = points[removed, 0], points[removed, 1], points[removed, 2]
        for leaf in leaves[: find_leaves(bvh, x, y, z, squared_radius, stack, leaves)]:
            for j in range(bvh.starts[leaf], bvh.starts[leaf + 1]):
                squared = distance(points, j, x, y, z)
                if squared < squared_radius and heap_position[j] >= 0:
                    weights[j] -= _weight(squared, radius)
                    _sift_down(heap, heap_position, weights, heap_position[j], size)
    return heap[:size]


@njit(cache=True, nogil=True)
def _sift_down(heap, heap_position, weights, position, size):  # type: ignore[no-untyped-def]
    """Move a point down the heap to its position; ties are in the order of points."""
    point = heap[position]
    while True:
        child = 2 * position + 1
        if child >= size:
            break
        if child + 1 < size and _precedes(weights, heap[child + 1], heap[child]):
            child += 1
        if not _precedes(weights, heap[child], point):
            break
        heap[position] = heap[child]
        heap_position[heap[position]] = position
        position = child
    heap[position] = point
    heap_position[point] = position


@njit(cache=True, nogil=True, inline="always")
def _precedes(weights, first, second):  # type: ignore[no-untyped-def]
    return weights[first] > weights[second] or (
        weights[first] == weights[second] and first < second
    )
