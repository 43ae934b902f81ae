"""Solid voxels of any triangle soup.

First the surface: a voxel is occupied where a triangle touches its closed box, decided by the exact
separating-axis test, so that legs and sheets thinner than a voxel stay whole and nothing depends on
winding, closedness or the order of faces. Then the inside: every empty voxel that cannot be reached
from outside. A solid with real holes (faces missing, no bottom) stays a shell; `parity=True` fills
those as well.
"""

from __future__ import annotations

import math

import fill_voids
import numpy as np
from jaxtyping import Bool
from numba import njit

from triform.geometry.mesh import Mesh, MeshError, normalize

LARGEST_RESOLUTION = 1024
# Every box is this much larger than its voxel (in voxels). Rounding then never decides whether a
# face that lies exactly on a voxel's border touches it, and mirrored models stay mirrored.
CONTACT = 1e-6
# Below this ratio of doubled area to squared length a triangle is thinner than CONTACT, its normal
# is rounding noise, and it is treated as the segment that it is.
SLIVER = 1e-8


def voxelize(
    mesh: Mesh, resolution: int, *, fill: bool = True, parity: bool = False
) -> Bool[np.ndarray, "x y z"]:
    """Mark the voxels that a mesh touches or encloses.

    The mesh is normalized first, so its longest side spans the whole grid. Voxel (i, j, k) covers
    [-1/2 + i/R, -1/2 + (i+1)/R] in x, likewise j in y and k in z.

    Args:
        mesh: any mesh; degenerate faces count as the segments or points that they are.
        resolution: voxels along each side, R, from 1 to 1024.
        fill: also mark what is enclosed.
        parity: also mark what rays along the axes find inside, for solids with holes; a ray that
            leaves through a hole has no vote. Off by default: on thin real furniture it can close
            what is meant to be open.

    Returns:
        Occupancy (R, R, R), the same for the same mesh on every machine and run.

    Raises:
        MeshError: the mesh is a single point, or the resolution is out of range.
    """
    if not 1 <= resolution <= LARGEST_RESOLUTION:
        raise MeshError(f"voxelize: resolution is {resolution}, choose 1 to {LARGEST_RESOLUTION}")
    shape = normalize(mesh)
    # Voxel units: the grid is [0, R]^3 and voxel (i, j, k) is the unit box at that corner.
    vertices = (shape.vertices + 0.5) * resolution
    grid = np.zeros((resolution,) * 3, dtype=np.uint8)
    _mark_surface(vertices, shape.faces, grid)
    if parity:
        _mark_inside(vertices, shape.faces, grid)
    if fill:
        grid = fill_voids.fill(grid)
    return np.ascontiguousarray(grid).astype(bool)


@njit(cache=True, nogil=True)
def _mark_surface(vertices, faces, grid):  # type: ignore[no-untyped-def]
    """Set every voxel of `grid` (R, R, R) uint8 that a triangle touches.

    A triangle and a box are apart exactly when one of 13 axes separates them: 3 of the box, the
    normal, and 9 cross products of a box axis with an edge. The normal's longest axis, d, is
    walked as depth. Over the columns (u, v) across it, the three products with d decide alone;
    the normal then bounds the depth to about three voxels, and the other six are tested there.
    """
    size = grid.shape[0]
    half = 0.5 + CONTACT
    # Separating axes in rows: (first component, second component, low, high), already widened by
    # the box, so that a centre p is kept when low <= a.p <= high.
    uv = np.empty((3, 4))
    ud = np.empty((3, 4))
    vd = np.empty((3, 4))
    low = np.empty(3, np.int64)
    high = np.empty(3, np.int64)
    voxel = np.empty(3, np.int64)
    normal = np.empty(3)
    for face in range(faces.shape[0]):
        p, q, r = vertices[faces[face, 0]], vertices[faces[face, 1]], vertices[faces[face, 2]]
        for axis in range(3):
            least = min(p[axis], q[axis], r[axis])
            most = max(p[axis], q[axis], r[axis])
            # The box of voxel i is [i - CONTACT, i + 1 + CONTACT].
            low[axis] = min(max(math.ceil(least - CONTACT) - 1, 0), size - 1)
            high[axis] = min(max(math.floor(most + CONTACT), 0), size - 1)

        if (low == high).sum() >= 2:
            # A single row of candidates: the face lies inside the row and crosses all of it.
            grid[low[0] : high[0] + 1, low[1] : high[1] + 1, low[2] : high[2] + 1] = 1
            continue

        longest = 0.0
        for axis in range(3):
            b, c = (axis + 1) % 3, (axis + 2) % 3
            normal[axis] = (q[b] - p[b]) * (r[c] - p[c]) - (q[c] - p[c]) * (r[b] - p[b])
            longest = max(longest, abs(q[axis] - p[axis]), abs(r[axis] - p[axis]))
        d = 0
        for axis in range(1, 3):
            if abs(normal[axis]) > abs(normal[d]):
                d = axis
        if abs(normal[d]) <= SLIVER * longest**2:
            normal[:] = 0.0
        u, v = (d + 1) % 3, (d + 2) % 3
        _separating_axes(p, q, r, u, v, half, uv)
        _separating_axes(p, q, r, u, d, half, ud)
        _separating_axes(p, q, r, v, d, half, vd)
        radius = half * (abs(normal[0]) + abs(normal[1]) + abs(normal[2]))
        flat = normal[d] == 0.0

        for i in range(low[u], high[u] + 1):
            for j in range(low[v], high[v] + 1):
                cu, cv = i + 0.5, j + 0.5
                if not _inside(uv, cu, cv):
                    continue
                first, last = low[d], high[d]
                if not flat:
                    # normal . (centre - p) must lie within the radius; solved for the depth.
                    slope = normal[u] * (cu - p[u]) + normal[v] * (cv - p[v])
                    middle = p[d] - slope / normal[d] - 0.5
                    reach = radius / abs(normal[d])
                    first = max(first, math.ceil(middle - reach))
                    last = min(last, math.floor(middle + reach))
                for k in range(first, last + 1):
                    if _inside(ud, cu, k + 0.5) and _inside(vd, cv, k + 0.5):
                        voxel[u], voxel[v], voxel[d] = i, j, k
                        grid[voxel[0], voxel[1], voxel[2]] = 1


@njit(cache=True, nogil=True)
def _separating_axes(p, q, r, u, v, half, axes):  # type: ignore[no-untyped-def]
    """Write the three axes that lie in the plane (u, v), each across one edge, into `axes`."""
    for edge in range(3):
        start, end = (p, q) if edge == 0 else (q, r) if edge == 1 else (r, p)
        au, av = start[v] - end[v], end[u] - start[u]
        on_p, on_q, on_r = au * p[u] + av * p[v], au * q[u] + av * q[v], au * r[u] + av * r[v]
        reach = half * (abs(au) + abs(av))
        axes[edge, 0] = au
        axes[edge, 1] = av
        axes[edge, 2] = min(on_p, on_q, on_r) - reach
        axes[edge, 3] = max(on_p, on_q, on_r) + reach


@njit(cache=True, nogil=True, inline="always")
def _inside(axes, x, y):  # type: ignore[no-untyped-def]
    for edge in range(3):
        position = axes[edge, 0] * x + axes[edge, 1] * y
        if position < axes[edge, 2] or position > axes[edge, 3]:
            return False
    return True


@njit(cache=True, nogil=True)
def _mark_inside(vertices, faces, grid):  # type: ignore[no-untyped-def]
    """Set the voxels of `grid` whose centre is inside by rays along the three axes.

    At least two rays must say inside and none outside. A ray that is still inside at its end has
    left through a hole, or entered through one, and says nothing.
    """
    size = grid.shape[0]
    crossings = np.zeros((3, size, size), np.int32)
    flips = np.zeros((3, size, size, size + 1), np.bool_)
    _count_crossings(vertices, faces, crossings, flips)
    votes = np.zeros(grid.shape, np.uint8)  # bit d: the ray along axis d says inside
    at = np.empty(3, np.int64)
    for d in range(3):
        u, v = (d + 1) % 3, (d + 2) % 3
        for i in range(size):
            for j in range(size):
                if crossings[d, i, j] == 0 or crossings[d, i, j] % 2 == 1:
                    continue
                inside = False
                for k in range(size):
                    inside ^= flips[d, i, j, k]
                    if inside:
                        at[u], at[v], at[d] = i, j, k
                        votes[at[0], at[1], at[2]] |= 1 << d
    for x in range(size):
        for y in range(size):
            for z in range(size):
                vote = votes[x, y, z]
                if (
                    vote == 7
                    or (vote == 6 and crossings[0, y, z] % 2 == 1)
                    or (vote == 5 and crossings[1, z, x] % 2 == 1)
                    or (vote == 3 and crossings[2, x, y] % 2 == 1)
                ):
                    grid[x, y, z] = 1


@njit(cache=True, nogil=True)
def _count_crossings(vertices, faces, crossings, flips):  # type: ignore[no-untyped-def]
    """Count where the rays through voxel centres meet the faces.

    The ray along axis d at (u, v), the two axes after d, has `crossings[d, u, v]` crossings, and
    `flips[d, u, v, k]` is set where an odd number of them lies between the centres of voxels k - 1
    and k. Triangles are scanned row by row with half-open intervals, and an edge gives the same
    crossing to both of its faces, so a ray through an edge or corner of a closed mesh still counts
    evenly.
    """
    size = crossings.shape[1]
    begin = np.empty(3, np.int64)
    end = np.empty(3, np.int64)
    normal = np.empty(3)
    for face in range(faces.shape[0]):
        p, q, r = vertices[faces[face, 0]], vertices[faces[face, 1]], vertices[faces[face, 2]]
        # The voxels whose centres lie in the triangle's box; most small faces have none.
        wide = 0
        for axis in range(3):
            begin[axis] = max(0, math.ceil(min(p[axis], q[axis], r[axis]) - 0.5))
            end[axis] = min(size, math.ceil(max(p[axis], q[axis], r[axis]) - 0.5))
            wide += begin[axis] < end[axis]
            b, c = (axis + 1) % 3, (axis + 2) % 3
            normal[axis] = (q[b] - p[b]) * (r[c] - p[c]) - (q[c] - p[c]) * (r[b] - p[b])
        if wide < 2:
            continue
        for d in range(3):
            u, v = (d + 1) % 3, (d + 2) % 3
            if begin[u] >= end[u] or normal[d] == 0.0:
                continue
            for j in range(begin[v], end[v]):
                row = j + 0.5
                left, right = np.inf, -np.inf
                for edge in range(3):
                    a, b = (p, q) if edge == 0 else (q, r) if edge == 1 else (r, p)
                    if a[v] > b[v] or (a[v] == b[v] and a[u] > b[u]):
                        a, b = b, a
                    if a[v] <= row < b[v]:
                        crossing = a[u] + (row - a[v]) * ((b[u] - a[u]) / (b[v] - a[v]))
                        left, right = min(left, crossing), max(right, crossing)
                if left >= right:
                    continue
                first = max(begin[u], math.ceil(left - 0.5))
                last = min(end[u], math.ceil(right - 0.5)) - 1
                for i in range(first, last + 1):
                    slope = normal[u] * (i + 0.5 - p[u]) + normal[v] * (row - p[v])
                    k = math.ceil(p[d] - slope / normal[d] - 0.5)
                    # A face seen edge-on gives depths far outside of it.
                    flips[d, i, j, min(max(k, begin[d]), end[d])] ^= True
                    crossings[d, i, j] += 1
