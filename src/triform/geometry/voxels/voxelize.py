"""Voxelization of any triangle soup: the surface, and what it encloses.

The surface is conservative: a voxel is occupied where a triangle touches its closed box, by the
exact separating-axis test, so that legs and sheets thinner than a voxel stay connected, whatever
the winding, closedness or order of the faces. The inside is every empty voxel that a flood fill
does not reach from outside. A solid with missing faces stays a shell; `parity=True` fills it too.
"""

from __future__ import annotations

import math

import fill_voids
import numpy as np
from jaxtyping import Bool

from triform.base.compiled import njit
from triform.geometry.mesh import Mesh, MeshError, normalize

MAX_RESOLUTION = 1024
# Every box is this much larger than its voxel (in voxels), so that rounding never decides about a
# face that lies exactly on a voxel's border, and mirrored meshes give mirrored voxels.
CONTACT_MARGIN = 1e-6
# A triangle with a smaller ratio of doubled area to squared length is thinner than CONTACT_MARGIN;
# its normal is rounding noise, and it counts as a segment.
MIN_ASPECT = 1e-8


def voxelize(
    mesh: Mesh,
    resolution: int,
    *,
    fill: bool = True,
    parity: bool = False,
    is_normalized: bool = False,
) -> Bool[np.ndarray, "x y z"]:
    """Compute the occupancy of the voxels that a mesh touches or encloses.

    The mesh is normalized first, so that its longest side spans all R voxels. Voxel (i, j, k)
    covers [-1/2 + i/R, -1/2 + (i+1)/R] in x, likewise j in y and k in z.

    Args:
        mesh: any mesh; degenerate faces count as the segments or points that they are.
        resolution: voxels along each side, R, from 1 to 1024.
        fill: fill what is enclosed.
        parity: also fill what rays along the axes find inside by parity, for solids with holes; a
            ray that leaves through a hole has no vote. Off by default: on thin furniture it can
            close what is meant to be open.
        is_normalized: the mesh lies in [-1/2, 1/2]^3 and keeps its place and size.

    Returns:
        Occupancy (R, R, R), the same for the same mesh on every machine and run.

    Raises:
        MeshError: the mesh is a single point, or the resolution is out of range.
    """
    if not 1 <= resolution <= MAX_RESOLUTION:
        raise MeshError(f"voxelize: resolution is {resolution}, choose 1 to {MAX_RESOLUTION}")
    normalized = mesh if is_normalized else normalize(mesh)
    # Voxel units: all voxels are [0, R]^3, and voxel (i, j, k) is the unit box at that corner.
    vertices = (normalized.vertices + 0.5) * resolution
    voxels = np.zeros((resolution,) * 3, dtype=np.uint8)
    _voxelize_surface(vertices, normalized.faces, voxels)
    if parity:
        _fill_by_ray_parity(vertices, normalized.faces, voxels)
    if fill:
        voxels = fill_voids.fill(voxels)
    return np.ascontiguousarray(voxels).astype(bool)


@njit(cache=True, nogil=True)
def _voxelize_surface(vertices, faces, voxels):  # type: ignore[no-untyped-def]
    """Set the voxels (R, R, R) uint8 that a triangle touches, by the separating-axis test.

    A triangle and a box are disjoint exactly when one of 13 axes separates them: 3 of the box, the
    normal, and 9 cross products of a box axis with an edge. The dominant axis of the normal, d, is
    the depth. Over the columns (u, v), the three products with d decide alone; the normal then
    bounds the depth to about three voxels, where the other six are tested.
    """
    size = voxels.shape[0]
    half = 0.5 + CONTACT_MARGIN
    # Separating axes in rows: (first component, second component, low, high), dilated by the box,
    # so that a centre p passes when low <= a.p <= high.
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
            lower = min(p[axis], q[axis], r[axis])
            upper = max(p[axis], q[axis], r[axis])
            # The box of voxel i is [i - CONTACT, i + 1 + CONTACT].
            low[axis] = min(max(math.ceil(lower - CONTACT_MARGIN) - 1, 0), size - 1)
            high[axis] = min(max(math.floor(upper + CONTACT_MARGIN), 0), size - 1)

        if (low == high).sum() >= 2:
            # A single row of candidates: the face is inside the row and crosses all its voxels.
            voxels[low[0] : high[0] + 1, low[1] : high[1] + 1, low[2] : high[2] + 1] = 1
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
        if abs(normal[d]) <= MIN_ASPECT * longest**2:
            normal[:] = 0.0
        u, v = (d + 1) % 3, (d + 2) % 3
        _separating_axes(p, q, r, u, v, half, uv)
        _separating_axes(p, q, r, u, d, half, ud)
        _separating_axes(p, q, r, v, d, half, vd)
        radius = half * (abs(normal[0]) + abs(normal[1]) + abs(normal[2]))
        is_edge_on = normal[d] == 0.0

        for i in range(low[u], high[u] + 1):
            for j in range(low[v], high[v] + 1):
                cu, cv = i + 0.5, j + 0.5
                if not _within_axes(uv, cu, cv):
                    continue
                first, last = low[d], high[d]
                if not is_edge_on:
                    # |normal . (centre - p)| <= radius, solved for the depth.
                    slope = normal[u] * (cu - p[u]) + normal[v] * (cv - p[v])
                    center = p[d] - slope / normal[d] - 0.5
                    extent = radius / abs(normal[d])
                    first = max(first, math.ceil(center - extent))
                    last = min(last, math.floor(center + extent))
                for k in range(first, last + 1):
                    if _within_axes(ud, cu, k + 0.5) and _within_axes(vd, cv, k + 0.5):
                        voxel[u], voxel[v], voxel[d] = i, j, k
                        voxels[voxel[0], voxel[1], voxel[2]] = 1


@njit(cache=True, nogil=True)
def _separating_axes(p, q, r, u, v, half, axes):  # type: ignore[no-untyped-def]
    """Write the three separating axes in the plane (u, v), each normal to an edge, into `axes`."""
    for edge in range(3):
        start, end = (p, q) if edge == 0 else (q, r) if edge == 1 else (r, p)
        au, av = start[v] - end[v], end[u] - start[u]
        on_p, on_q, on_r = au * p[u] + av * p[v], au * q[u] + av * q[v], au * r[u] + av * r[v]
        extent = half * (abs(au) + abs(av))
        axes[edge, 0] = au
        axes[edge, 1] = av
        axes[edge, 2] = min(on_p, on_q, on_r) - extent
        axes[edge, 3] = max(on_p, on_q, on_r) + extent


@njit(cache=True, nogil=True, inline="always")
def _within_axes(axes, x, y):  # type: ignore[no-untyped-def]
    for edge in range(3):
        position = axes[edge, 0] * x + axes[edge, 1] * y
        if position < axes[edge, 2] or position > axes[edge, 3]:
            return False
    return True


@njit(cache=True, nogil=True)
def _fill_by_ray_parity(vertices, faces, voxels):  # type: ignore[no-untyped-def]
    """Set the voxels whose centre is inside by the parity of crossings along three axis rays.

    At least two rays must vote inside and none outside. A ray with an odd number of crossings has
    passed a hole and has no vote.
    """
    size = voxels.shape[0]
    crossings = np.zeros((3, size, size), np.int32)
    parity_flips = np.zeros((3, size, size, size + 1), np.bool_)
    _count_crossings(vertices, faces, crossings, parity_flips)
    votes = np.zeros(voxels.shape, np.uint8)  # bit d: the ray along axis d says inside
    voxel = np.empty(3, np.int64)
    for d in range(3):
        u, v = (d + 1) % 3, (d + 2) % 3
        for i in range(size):
            for j in range(size):
                if crossings[d, i, j] == 0 or crossings[d, i, j] % 2 == 1:
                    continue
                inside = False
                for k in range(size):
                    inside ^= parity_flips[d, i, j, k]
                    if inside:
                        voxel[u], voxel[v], voxel[d] = i, j, k
                        votes[voxel[0], voxel[1], voxel[2]] |= 1 << d
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
                    voxels[x, y, z] = 1


@njit(cache=True, nogil=True)
def _count_crossings(vertices, faces, crossings, parity_flips):  # type: ignore[no-untyped-def]
    """Count the crossings of faces with the rays through voxel centres.

    The ray along axis d at (u, v), the two axes after d, has `crossings[d, u, v]` crossings, and
    `parity_flips[d, u, v, k]` is set where an odd number of them lies between the centres of voxels
    k - 1 and k. Triangles are scanned row by row with half-open intervals, and an edge gives the
    same crossing to both of its faces, so that a ray through an edge or corner of a closed mesh has
    an even count.
    """
    size = crossings.shape[1]
    start = np.empty(3, np.int64)
    end = np.empty(3, np.int64)
    normal = np.empty(3)
    for face in range(faces.shape[0]):
        p, q, r = vertices[faces[face, 0]], vertices[faces[face, 1]], vertices[faces[face, 2]]
        # Voxels with their centres in the triangle's bounding box; most small faces have none.
        num_nonempty = 0
        for axis in range(3):
            start[axis] = max(0, math.ceil(min(p[axis], q[axis], r[axis]) - 0.5))
            end[axis] = min(size, math.ceil(max(p[axis], q[axis], r[axis]) - 0.5))
            num_nonempty += start[axis] < end[axis]
            b, c = (axis + 1) % 3, (axis + 2) % 3
            normal[axis] = (q[b] - p[b]) * (r[c] - p[c]) - (q[c] - p[c]) * (r[b] - p[b])
        if num_nonempty < 2:
            continue
        for d in range(3):
            u, v = (d + 1) % 3, (d + 2) % 3
            if start[u] >= end[u] or normal[d] == 0.0:
                continue
            for j in range(start[v], end[v]):
                scanline = j + 0.5
                left, right = np.inf, -np.inf
                for edge in range(3):
                    a, b = (p, q) if edge == 0 else (q, r) if edge == 1 else (r, p)
                    if a[v] > b[v] or (a[v] == b[v] and a[u] > b[u]):
                        a, b = b, a
                    if a[v] <= scanline < b[v]:
                        crossing = a[u] + (scanline - a[v]) * ((b[u] - a[u]) / (b[v] - a[v]))
                        left, right = min(left, crossing), max(right, crossing)
                if left >= right:
                    continue
                first = max(start[u], math.ceil(left - 0.5))
                last = min(end[u], math.ceil(right - 0.5)) - 1
                for i in range(first, last + 1):
                    slope = normal[u] * (i + 0.5 - p[u]) + normal[v] * (scanline - p[v])
                    k = math.ceil(p[d] - slope / normal[d] - 0.5)
                    # The depth of a face seen edge-on can be far outside of it.
                    parity_flips[d, i, j, min(max(k, start[d]), end[d])] ^= True
                    crossings[d, i, j] += 1
