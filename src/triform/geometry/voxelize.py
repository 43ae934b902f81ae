"""Solid voxels of any triangle soup.

First the surface: a voxel is occupied where a triangle touches its closed box, decided by the exact
separating-axis test, so that legs and sheets thinner than a voxel stay whole and nothing depends on
winding, closedness or the order of faces. Then the inside: every empty voxel that cannot be reached
from outside. A solid with real holes (faces missing, no bottom) stays a shell; `parity=True` fills
those as well.
"""

from __future__ import annotations

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
    if fill:
        grid = fill_voids.fill(grid)
    if parity:
        grid |= _vote_inside(vertices, shape.faces, resolution)
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
    for face in range(faces.shape[0]):
        p, q, r = vertices[faces[face, 0]], vertices[faces[face, 1]], vertices[faces[face, 2]]
        for axis in range(3):
            least = min(p[axis], q[axis], r[axis])
            most = max(p[axis], q[axis], r[axis])
            # The box of voxel i is [i - CONTACT, i + 1 + CONTACT].
            low[axis] = min(max(int(np.ceil(least - CONTACT)) - 1, 0), size - 1)
            high[axis] = min(max(int(np.floor(most + CONTACT)), 0), size - 1)

        edge, other = q - p, r - p
        normal = np.cross(edge, other)
        longest = max(edge @ edge, other @ other)
        if np.abs(normal).max() <= SLIVER * longest:
            normal[:] = 0.0
        d = np.argmax(np.abs(normal))
        u, v = (d + 1) % 3, (d + 2) % 3
        _separating_axes(p, q, r, u, v, half, uv)
        _separating_axes(p, q, r, u, d, half, ud)
        _separating_axes(p, q, r, v, d, half, vd)
        radius = half * np.abs(normal).sum()
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
                    first = max(first, int(np.ceil(middle - reach)))
                    last = min(last, int(np.floor(middle + reach)))
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


def _vote_inside(vertices: np.ndarray, faces: np.ndarray, resolution: int) -> np.ndarray:
    """Mark voxels whose centre at least two of the three axis rays find inside, none outside."""
    inside = np.zeros((resolution,) * 3, dtype=np.uint8)
    outside = np.zeros((resolution,) * 3, dtype=np.uint8)
    for axis in range(3):
        flips = np.zeros((resolution, resolution, resolution + 1), dtype=np.uint8)
        order = ((axis + 1) % 3, (axis + 2) % 3, axis)
        _count_crossings(np.ascontiguousarray(vertices[:, order]), faces, flips)
        odd = np.bitwise_xor.accumulate(flips, axis=2)
        # A ray still inside at its end has passed through a hole; it knows nothing.
        valid = odd[:, :, -1:] ^ 1
        # Back from (u, v, axis) to (x, y, z).
        back = np.argsort(order)
        inside += (odd[:, :, :-1] & valid).transpose(back)
        outside += ((odd[:, :, :-1] ^ 1) & valid).transpose(back)
    return np.asarray((inside >= 2) & (outside == 0)).astype(np.uint8)


@njit(cache=True, nogil=True)
def _count_crossings(vertices, faces, flips):  # type: ignore[no-untyped-def]
    """Toggle `flips` (R, R, R + 1) at the first voxel centre behind each crossing of a ray.

    Rays run along the third axis through the voxel centres of the first two. Triangles are
    scanned row by row with half-open intervals, and an edge gives the same crossing from both of
    its faces, so a ray through an edge or corner of a closed mesh still counts evenly.
    """
    size = flips.shape[0]
    for face in range(faces.shape[0]):
        p, q, r = vertices[faces[face, 0]], vertices[faces[face, 1]], vertices[faces[face, 2]]
        normal = np.cross(q - p, r - p)
        if normal[2] == 0.0:
            continue
        bottom, top = min(p[1], q[1], r[1]), max(p[1], q[1], r[1])
        for j in range(max(0, int(bottom - 0.5)), min(size, int(top + 0.5) + 1)):
            row = j + 0.5
            left, right = np.inf, -np.inf
            for edge in range(3):
                a, b = (p, q) if edge == 0 else (q, r) if edge == 1 else (r, p)
                if a[1] > b[1] or (a[1] == b[1] and a[0] > b[0]):
                    a, b = b, a
                if a[1] <= row < b[1]:
                    crossing = a[0] + (row - a[1]) * ((b[0] - a[0]) / (b[1] - a[1]))
                    left, right = min(left, crossing), max(right, crossing)
            if left >= right:
                continue
            first = max(0, int(np.ceil(left - 0.5)))
            last = min(size - 1, int(np.ceil(right - 0.5)) - 1)
            for i in range(first, last + 1):
                slope = normal[0] * (i + 0.5 - p[0]) + normal[1] * (row - p[1])
                depth = p[2] - slope / normal[2]
                k = min(max(int(np.ceil(depth - 0.5)), 0), size)
                flips[i, j, k] ^= 1
