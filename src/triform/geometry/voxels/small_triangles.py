"""Triangles of a surface in voxels: small ones, which of them are seen, which part is thin.

Kernels of `signed_distance`. The state of the fine voxels, FINE along each voxel, says where the
exterior is.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from triform.base.compiled import njit
from triform.geometry.sampling.triangles import STACK_SIZE, last_hit

MIN_HALF_THICKNESS = 0.55
"""In voxels. Above 1/2, so that a part holds at least one sample wherever it lies."""
FINE = 3
"""Fine voxels along a voxel; odd, so that a voxel's centre is the centre of a fine voxel."""
EXTERIOR, SURFACE, ENCLOSED = 0, 1, 2


def split_long_edges(
    triangles: Float[np.ndarray, "f 3 3"], max_edge: float
) -> tuple[Float[np.ndarray, "n 3 3"], np.ndarray]:
    """Bisect the longest edge of each triangle until none is longer; (N, 3, 3) and their faces."""
    done, of_face = [], []
    faces = np.arange(len(triangles))
    while len(triangles):
        is_done, halves, of_half = _bisect(triangles, faces, max_edge)
        done.append(triangles[is_done])
        of_face.append(faces[is_done])
        triangles, faces = halves, of_half
    return np.concatenate(done), np.concatenate(of_face)


@njit(cache=True, nogil=True)
def _bisect(triangles, faces, max_edge):  # type: ignore[no-untyped-def]
    """Which triangles are small (F,), and the halves (2 H, 3, 3) of the others with their faces."""
    count = len(triangles)
    is_done, longest = np.empty(count, np.bool_), np.empty(count, np.int64)
    for i in range(count):
        length, longest[i] = -1.0, 0
        for apex in range(3):
            # The edge opposite of the apex.
            start, end = (apex + 1) % 3, (apex + 2) % 3
            total = 0.0
            for axis in range(3):
                total += (triangles[i, start, axis] - triangles[i, end, axis]) ** 2
            total = math.sqrt(total)
            if total > length:
                length, longest[i] = total, apex
        is_done[i] = length <= max_edge
    num_long = count - is_done.sum()
    halves, of_half = np.empty((2 * num_long, 3, 3)), np.empty(2 * num_long, np.int64)
    row = 0
    for i in range(count):
        if is_done[i]:
            continue
        apex = longest[i]
        for axis in range(3):
            start = triangles[i, (apex + 1) % 3, axis]
            end = triangles[i, (apex + 2) % 3, axis]
            middle = (start + end) / 2
            halves[row, 0, axis] = triangles[i, apex, axis]
            halves[row, 1, axis] = start
            halves[row, 2, axis] = middle
            halves[num_long + row, 0, axis] = triangles[i, apex, axis]
            halves[num_long + row, 1, axis] = middle
            halves[num_long + row, 2, axis] = end
        of_half[row] = faces[i]
        of_half[num_long + row] = faces[i]
        row += 1
    return is_done, halves, of_half


@njit(cache=True, nogil=True)
def is_visible(corners, state):  # type: ignore[no-untyped-def]
    """Whether an exterior fine voxel lies beside the centre or a corner of each triangle (N,)."""
    size = state.shape[0]
    visible = np.zeros(len(corners), np.bool_)
    cells = np.empty((3, 3), np.int64)
    center = np.empty(3)
    for face in range(len(corners)):
        for axis in range(3):
            center[axis] = corners[face, :, axis].sum() / 3
        # The centre first: most triangles are decided there.
        for probe in range(4):
            corner = (probe + 3) % 4
            for axis in range(3):
                # Corners are drawn towards the centre: they belong to other triangles as well.
                at = center[axis]
                if corner < 3:
                    at += 0.9 * (corners[face, corner, axis] - center[axis])
                # A surface on the border of two fine voxels touches both.
                for side in range(3):
                    cells[axis, side] = math.floor((at + (side - 1) * 1.01 / FINE) * FINE)
            for neighbor in range(27):
                i, j = cells[0, neighbor % 3], cells[1, neighbor // 3 % 3]
                k = cells[2, neighbor // 9]
                if min(i, j, k) < 0 or max(i, j, k) >= size or state[i, j, k] == EXTERIOR:
                    visible[face] = True
                    break
            if visible[face]:
                break
    return visible


@njit(cache=True, nogil=True, inline="always")
def state_at(state, x, y, z):  # type: ignore[no-untyped-def]
    """State of the fine voxel at a point in voxels; exterior beyond the cube."""
    size = state.shape[0]
    i = math.floor(x * FINE)
    j = math.floor(y * FINE)
    k = math.floor(z * FINE)
    if min(i, j, k) < 0 or max(i, j, k) >= size:
        return EXTERIOR
    return state[i, j, k]


@njit(cache=True, nogil=True, inline="always")
def state_along(state, origin, direction, t):  # type: ignore[no-untyped-def]
    """State at origin + t direction."""
    return state_at(
        state,
        origin[0] + t * direction[0],
        origin[1] + t * direction[1],
        origin[2] + t * direction[2],
    )


@njit(cache=True, nogil=True)
def _exterior_from(state, origin, direction, last):  # type: ignore[no-untyped-def]
    """The t of the first exterior fine voxel along a ray, in steps of half of one; inf beyond."""
    step = 0.5 / FINE
    t = step
    while t <= last:
        if state_along(state, origin, direction, t) == EXTERIOR:
            return t
        t += step
    return math.inf


@njit(cache=True, nogil=True)
def thin_offsets(bvh, state):  # type: ignore[no-untyped-def]
    """How far each triangle (N,) has to move outward, in voxels; 0 where the part is thick.

    The thickness is measured along the normal at a triangle's centre: between the exterior on one
    side and that on the other there are the triangle itself and perhaps another surface. A sheet
    has no thickness.
    """
    corners = bvh.corners
    offsets = np.zeros(len(corners))
    stack = np.empty(STACK_SIZE, np.int64)
    u, w, normal, opposite, center = np.empty((5, 3))
    # The exterior begins up to a fine voxel's diagonal behind the surface that touches it.
    reach = 2 * MIN_HALF_THICKNESS + 2.0 / FINE
    for i in range(len(corners)):
        for axis in range(3):
            a, b, c = corners[i, 0, axis], corners[i, 1, axis], corners[i, 2, axis]
            u[axis], w[axis] = b - a, c - a
            center[axis] = (a + b + c) / 3
        normal[0] = u[1] * w[2] - u[2] * w[1]
        normal[1] = u[2] * w[0] - u[0] * w[2]
        normal[2] = u[0] * w[1] - u[1] * w[0]
        length = math.sqrt(normal[0] ** 2 + normal[1] ** 2 + normal[2] ** 2)
        if length < 1e-12:
            continue
        for axis in range(3):
            normal[axis] /= length
            opposite[axis] = -normal[axis]
        front = _exterior_from(state, center, normal, reach)
        if front == math.inf:
            continue
        back = _exterior_from(state, center, opposite, reach)
        if back == math.inf:
            continue
        thickness = max(last_hit(bvh, center, normal, 1e-9, front, stack), 0.0)
        thickness += max(last_hit(bvh, center, opposite, 1e-9, back, stack), 0.0)
        offsets[i] = max(0.0, MIN_HALF_THICKNESS - thickness / 2)
    return offsets
