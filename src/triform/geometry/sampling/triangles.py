"""Exact distances to the triangles of a mesh, by a bounding volume hierarchy.

`nearest_triangle` and `last_hit` are kernels for kernels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numba import njit

from triform.geometry.mesh import Mesh
from triform.geometry.sampling.bvh import box_distance, build_boxes

MAX_LEAF_SIZE = 4
STACK_SIZE = 128
"""Nodes that wait at once while a balanced tree of at most 2^60 leaves is walked."""
BOX_MARGIN = 1e-9
"""Squared; far above the rounding of coordinates in voxels, far below the size of a triangle."""
SEGMENT_MARGIN = 1e-6


class TriangleBVH(NamedTuple):
    """Triangles in Morton order of their centres, and the bounding boxes of the nodes.

    Attributes:
        order: (N,) index of every triangle in the original array.
        corners: (N, 3, 3) float64.
        boxes: (N, 6) lowest and highest corner of the box of every triangle.
        starts: (L + 1,) first triangle of every leaf; leaf i is node L + i.
        low: (2 L, 3) lowest corners of the boxes of the nodes.
        high: (2 L, 3) highest corners.
    """

    order: Int[np.ndarray, " n"]
    corners: Float[np.ndarray, "n 3 3"]
    boxes: Float[np.ndarray, "n 6"]
    starts: Int[np.ndarray, " l"]
    low: Float[np.ndarray, "m 3"]
    high: Float[np.ndarray, "m 3"]


def build_triangle_bvh(corners: Float[np.ndarray, "n 3 3"]) -> TriangleBVH:
    """Build the hierarchy of one or more finite triangles (N, 3, 3); they may be degenerate."""
    corners = np.ascontiguousarray(corners, dtype=np.float64)
    boxes = _triangle_boxes(corners)
    order, starts, low, high = build_boxes(boxes[:, :3], boxes[:, 3:], MAX_LEAF_SIZE)
    return TriangleBVH(order, corners[order], boxes[order], starts, low, high)


@njit(cache=True, nogil=True)
def _triangle_boxes(corners):  # type: ignore[no-untyped-def]
    boxes = np.empty((len(corners), 6))
    for i in range(len(corners)):
        for axis in range(3):
            a, b, c = corners[i, 0, axis], corners[i, 1, axis], corners[i, 2, axis]
            boxes[i, axis] = min(a, b, c)
            boxes[i, 3 + axis] = max(a, b, c)
    return boxes


def distances_to_mesh(
    points: Float[np.ndarray, "n 3"], mesh: Mesh
) -> tuple[Float[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Exact distances of points (N, 3) to the surface of a mesh, and the nearest faces (N,)."""
    bvh = build_triangle_bvh(mesh.triangles)
    distances, nearest = _nearest_triangles(bvh, np.ascontiguousarray(points, dtype=np.float64))
    return distances, bvh.order[nearest]


@njit(cache=True, nogil=True)
def _nearest_triangles(bvh, points):  # type: ignore[no-untyped-def]
    distances = np.empty(len(points))
    nearest = np.empty(len(points), np.int64)
    nothing = np.zeros(len(bvh.corners))
    stack, reaches = np.empty(STACK_SIZE, np.int64), np.empty(STACK_SIZE)
    for i in range(len(points)):
        distances[i], nearest[i], _, _ = nearest_triangle(
            bvh, nothing, 0.0, points[i, 0], points[i, 1], points[i, 2], np.inf, -1, stack, reaches
        )
    return distances, nearest


@njit(cache=True, nogil=True)
def closest_point_on_triangle(corners, i, x, y, z):  # type: ignore[no-untyped-def]
    """Barycentric coordinates (v, w) of the point of triangle i that is closest to (x, y, z).

    The point is a + v (b - a) + w (c - a). Ericson, Real-Time Collision Detection, section 5.1.5.
    """
    ax, ay, az = corners[i, 0, 0], corners[i, 0, 1], corners[i, 0, 2]
    abx, aby, abz = corners[i, 1, 0] - ax, corners[i, 1, 1] - ay, corners[i, 1, 2] - az
    acx, acy, acz = corners[i, 2, 0] - ax, corners[i, 2, 1] - ay, corners[i, 2, 2] - az
    apx, apy, apz = x - ax, y - ay, z - az
    d1 = abx * apx + aby * apy + abz * apz
    d2 = acx * apx + acy * apy + acz * apz
    if d1 <= 0.0 and d2 <= 0.0:
        return 0.0, 0.0
    bpx, bpy, bpz = apx - abx, apy - aby, apz - abz
    d3 = abx * bpx + aby * bpy + abz * bpz
    d4 = acx * bpx + acy * bpy + acz * bpz
    if d3 >= 0.0 and d4 <= d3:
        return 1.0, 0.0
    vc = d1 * d4 - d3 * d2
    if vc <= 0.0 and d1 >= 0.0 and d3 <= 0.0:
        return (d1 / (d1 - d3) if d1 > d3 else 0.0), 0.0
    cpx, cpy, cpz = apx - acx, apy - acy, apz - acz
    d5 = abx * cpx + aby * cpy + abz * cpz
    d6 = acx * cpx + acy * cpy + acz * cpz
    if d6 >= 0.0 and d5 <= d6:
        return 0.0, 1.0
    vb = d5 * d2 - d1 * d6
    if vb <= 0.0 and d2 >= 0.0 and d6 <= 0.0:
        return 0.0, (d2 / (d2 - d6) if d2 > d6 else 0.0)
    va = d3 * d6 - d5 * d4
    if va <= 0.0 and d4 - d3 >= 0.0 and d5 - d6 >= 0.0:
        length = (d4 - d3) + (d5 - d6)
        w = (d4 - d3) / length if length > 0.0 else 0.0
        return 1.0 - w, w
    total = va + vb + vc
    if total <= 0.0:  # degenerate
        return 0.0, 0.0
    return vb / total, vc / total


@njit(cache=True, nogil=True)
def nearest_triangle(bvh, offsets, max_offset, x, y, z, bound, hint, stack, reaches):  # type: ignore[no-untyped-def]
    """The triangle with the least (distance - offset), where that is below a bound.

    Of several equally near ones it is the hint, else the first on the walk.

    Args:
        bvh: the triangles.
        offsets: (N,) number taken off the distance to each triangle, 0 or more.
        max_offset: the largest of them.
        x: query point, with y and z.
        y: see x.
        z: see x.
        bound: only results below it are looked for.
        hint: a triangle that may be near, for speed alone; -1 for none.
        stack: (STACK_SIZE,) int64 buffer.
        reaches: (STACK_SIZE,) float64 buffer.

    Returns:
        The least (distance - offset), or the bound; the triangle's place in the order of the
        hierarchy, or -1; and its barycentric coordinates (v, w).
    """
    corners, boxes = bvh.corners, bvh.boxes
    num_leaves = len(bvh.starts) - 1
    best, found, best_v, best_w = bound, -1, 0.0, 0.0
    if hint >= 0:
        value, v, w = _offset_distance(corners, offsets, hint, x, y, z)
        if value < best:
            best, found, best_v, best_w = value, hint, v, w
    reach = best + max_offset
    if reach <= 0.0:
        return best, found, best_v, best_w
    squared_reach = reach * reach
    top = 0
    stack[0] = 1
    reaches[0] = box_distance(bvh.low, bvh.high, 1, x, y, z)
    while top >= 0:
        node = stack[top]
        squared_distance = reaches[top]
        top -= 1
        if squared_distance >= squared_reach:
            continue
        if node >= num_leaves:
            leaf = node - num_leaves
            for i in range(bvh.starts[leaf], bvh.starts[leaf + 1]):
                # A margin for rounding in the coordinates of the closest point.
                if _box_distance(boxes, i, x, y, z) > squared_reach + BOX_MARGIN:
                    continue
                value, v, w = _offset_distance(corners, offsets, i, x, y, z)
                if value < best:
                    best, found, best_v, best_w = value, i, v, w
                    reach = best + max_offset
                    if reach <= 0.0:
                        return best, found, best_v, best_w
                    squared_reach = reach * reach
            continue
        near, far = 2 * node, 2 * node + 1
        to_near = box_distance(bvh.low, bvh.high, near, x, y, z)
        to_far = box_distance(bvh.low, bvh.high, far, x, y, z)
        if to_far < to_near:
            near, far, to_near, to_far = far, near, to_far, to_near
        if to_far < squared_reach:
            top += 1
            stack[top] = far
            reaches[top] = to_far
        if to_near < squared_reach:
            top += 1
            stack[top] = near
            reaches[top] = to_near
    return best, found, best_v, best_w


@njit(cache=True, nogil=True, inline="always")
def _box_distance(boxes, i, x, y, z):  # type: ignore[no-untyped-def]
    """Squared distance from (x, y, z) to the box of triangle i, 0 inside."""
    dx = max(boxes[i, 0] - x, x - boxes[i, 3], 0.0)
    dy = max(boxes[i, 1] - y, y - boxes[i, 4], 0.0)
    dz = max(boxes[i, 2] - z, z - boxes[i, 5], 0.0)
    return dx * dx + dy * dy + dz * dz


@njit(cache=True, nogil=True)
def _offset_distance(corners, offsets, i, x, y, z):  # type: ignore[no-untyped-def]
    v, w = closest_point_on_triangle(corners, i, x, y, z)
    u = 1.0 - v - w
    dx = u * corners[i, 0, 0] + v * corners[i, 1, 0] + w * corners[i, 2, 0] - x
    dy = u * corners[i, 0, 1] + v * corners[i, 1, 1] + w * corners[i, 2, 1] - y
    dz = u * corners[i, 0, 2] + v * corners[i, 1, 2] + w * corners[i, 2, 2] - z
    return np.sqrt(dx * dx + dy * dy + dz * dz) - offsets[i], v, w


@njit(cache=True, nogil=True)
def last_hit(bvh, origin, direction, first, last, stack):  # type: ignore[no-untyped-def]
    """The largest t in (first, last) at which the ray origin + t direction crosses a triangle.

    Moeller and Trumbore, 1997. Returns -1 where there is none. Meant for short segments, whose
    bounding box meets few others.
    """
    corners, boxes = bvh.corners, bvh.boxes
    num_leaves = len(bvh.starts) - 1
    segment = np.empty(6)
    for axis in range(3):
        start = origin[axis] + first * direction[axis]
        end = origin[axis] + last * direction[axis]
        segment[axis] = min(start, end) - SEGMENT_MARGIN
        segment[3 + axis] = max(start, end) + SEGMENT_MARGIN
    hit = -1.0
    top = 0
    stack[0] = 1
    while top >= 0:
        node = stack[top]
        top -= 1
        if not (
            bvh.low[node, 0] <= segment[3]
            and bvh.high[node, 0] >= segment[0]
            and bvh.low[node, 1] <= segment[4]
            and bvh.high[node, 1] >= segment[1]
            and bvh.low[node, 2] <= segment[5]
            and bvh.high[node, 2] >= segment[2]
        ):
            continue
        if node >= num_leaves:
            leaf = node - num_leaves
            for i in range(bvh.starts[leaf], bvh.starts[leaf + 1]):
                if not (
                    boxes[i, 0] <= segment[3]
                    and boxes[i, 3] >= segment[0]
                    and boxes[i, 1] <= segment[4]
                    and boxes[i, 4] >= segment[1]
                    and boxes[i, 2] <= segment[5]
                    and boxes[i, 5] >= segment[2]
                ):
                    continue
                t = _ray_triangle(corners, i, origin, direction)
                if first < t < last and t > hit:
                    hit = t
            continue
        stack[top + 1] = 2 * node
        stack[top + 2] = 2 * node + 1
        top += 2
    return hit


@njit(cache=True, nogil=True)
def _ray_triangle(corners, i, origin, direction):  # type: ignore[no-untyped-def]
    """The t of the crossing of a ray with triangle i, or -1."""
    ux, uy, uz = (
        corners[i, 1, 0] - corners[i, 0, 0],
        corners[i, 1, 1] - corners[i, 0, 1],
        corners[i, 1, 2] - corners[i, 0, 2],
    )
    vx, vy, vz = (
        corners[i, 2, 0] - corners[i, 0, 0],
        corners[i, 2, 1] - corners[i, 0, 1],
        corners[i, 2, 2] - corners[i, 0, 2],
    )
    px = direction[1] * vz - direction[2] * vy
    py = direction[2] * vx - direction[0] * vz
    pz = direction[0] * vy - direction[1] * vx
    determinant = ux * px + uy * py + uz * pz
    if determinant == 0.0:
        return -1.0
    tx, ty, tz = (
        origin[0] - corners[i, 0, 0],
        origin[1] - corners[i, 0, 1],
        origin[2] - corners[i, 0, 2],
    )
    u = (tx * px + ty * py + tz * pz) / determinant
    if u < 0.0 or u > 1.0:
        return -1.0
    qx, qy, qz = ty * uz - tz * uy, tz * ux - tx * uz, tx * uy - ty * ux
    v = (direction[0] * qx + direction[1] * qy + direction[2] * qz) / determinant
    if v < 0.0 or u + v > 1.0:
        return -1.0
    return (vx * qx + vy * qy + vz * qz) / determinant
