"""The rasteriser: which face is seen where, by homogeneous edge functions.

Everything is done with the triangles as the camera sees them in space, never cut and never divided
by their depth: a triangle that reaches behind the camera needs no clipping, and neighbours decide
about the edge between them with the very same numbers, so that no crack opens.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from triform.geometry.texels import alpha_at, level_of

# Where two faces lie in one place, back to back, the one that is turned to the camera is seen.
_FRONT_FIRST = 1e-6
# What lies nearer than this share of the depth of everything is not drawn.
_NEAR = 1e-4
_SLACK = 1e-9
# In an order that spreads: which samples of 4 x 4 a half transparent place covers first.
_SPREAD = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]) / 16 + 1 / 32


@njit(cache=True, nogil=True, error_model="numpy")
def to_camera(vertices, origin, axes, focal, half, points):  # type: ignore[no-untyped-def]
    """Bring vertices into the camera's axes and onto the picture.

    Args:
        vertices: (V, 3) float64.
        origin: (3,) of the camera.
        axes: (3, 3) of the camera, in rows: right, down, into the scene.
        focal: distance of the picture from the camera, in samples.
        half: half the width of the picture, in samples.
        points: (V, 5) float64 to fill: three coordinates; column and row on the picture, which
            mean nothing behind the camera.

    Returns:
        The smallest depth that is drawn.
    """
    deepest = 0.0
    for i in range(vertices.shape[0]):
        x, y, z = (
            vertices[i, 0] - origin[0],
            vertices[i, 1] - origin[1],
            vertices[i, 2] - origin[2],
        )
        for axis in range(3):
            points[i, axis] = axes[axis, 0] * x + axes[axis, 1] * y + axes[axis, 2] * z
        depth = points[i, 2]
        points[i, 3] = half + focal * points[i, 0] / depth
        points[i, 4] = half + focal * points[i, 1] / depth
        deepest = max(deepest, depth)
    return _NEAR * deepest


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def box_of(points, i, j, k, wide, near):  # type: ignore[no-untyped-def]
    """Where on the picture a triangle may be, in samples: left, right, top, bottom."""
    left, right, top, bottom = 0.0, wide, 0.0, wide
    if min(points[i, 2], points[j, 2], points[k, 2]) > near:
        left = max(min(points[i, 3], points[j, 3], points[k, 3]) - 1e-6, 0.0)
        right = min(max(points[i, 3], points[j, 3], points[k, 3]) + 1e-6, wide)
        top = max(min(points[i, 4], points[j, 4], points[k, 4]) - 1e-6, 0.0)
        bottom = min(max(points[i, 4], points[j, 4], points[k, 4]) + 1e-6, wide)
    elif max(points[i, 2], points[j, 2], points[k, 2]) <= near:
        left, right = 1.0, 0.0
    return left, right, top, bottom


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def planes_of(points, i, j, k):  # type: ignore[no-untyped-def]
    """Planes through the camera and each edge, and the plane that gives 1 / depth.

    Returns:
        The three planes opposite to the corners, positive inside the triangle; the plane of
        1 / depth; and six times the volume between camera and triangle, negative if it is seen
        from the front, 0 if it is seen on edge. Twelve numbers and one.
    """
    p0, p1, p2 = points[i, 0], points[i, 1], points[i, 2]
    q0, q1, q2 = points[j, 0], points[j, 1], points[j, 2]
    r0, r1, r2 = points[k, 0], points[k, 1], points[k, 2]
    a0, a1, a2 = q1 * r2 - q2 * r1, q2 * r0 - q0 * r2, q0 * r1 - q1 * r0
    b0, b1, b2 = r1 * p2 - r2 * p1, r2 * p0 - r0 * p2, r0 * p1 - r1 * p0
    c0, c1, c2 = p1 * q2 - p2 * q1, p2 * q0 - p0 * q2, p0 * q1 - p1 * q0
    volume = p0 * a0 + p1 * a1 + p2 * a2
    u0, u1, u2, v0, v1, v2 = q0 - p0, q1 - p1, q2 - p2, r0 - p0, r1 - p1, r2 - p2
    share = 1.0 / volume
    n0, n1, n2 = (
        (u1 * v2 - u2 * v1) * share,
        (u2 * v0 - u0 * v2) * share,
        (u0 * v1 - u1 * v0) * share,
    )
    if volume < 0.0:
        a0, a1, a2, b0, b1, b2, c0, c1, c2 = -a0, -a1, -a2, -b0, -b1, -b2, -c0, -c1, -c2
    return a0, a1, a2, b0, b1, b2, c0, c1, c2, n0, n1, n2, volume


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def passing(p0, p1, p2, scale, shift):  # type: ignore[no-untyped-def]
    """The column `start + slope * y` at which rows pass a plane, and whether the inside is beyond.

    A ray's x is (column - shift) / scale.
    """
    # A plane along the rows is passed far to the one side or the other.
    divisor = p0 if p0 != 0.0 else 1e-30
    rest = p2 if p0 != 0.0 else p2 + 1e-20
    return shift - rest / divisor * scale, -p1 / divisor * scale, divisor > 0.0


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def span_of(a, da, is_a, b, db, is_b, c, dc, is_c, y, first, last):  # type: ignore[no-untyped-def]
    """The columns of a row, from `first` to `last`, between what `passing` gives for 3 planes."""
    at_a, at_b, at_c = a + da * y, b + db * y, c + dc * y
    low, high = first - _SLACK, last + _SLACK
    if is_a:
        low = max(low, at_a)
    else:
        high = min(high, at_a)
    if is_b:
        low = max(low, at_b)
    else:
        high = min(high, at_b)
    if is_c:
        low = max(low, at_c)
    else:
        high = min(high, at_c)
    return low - _SLACK, high + _SLACK


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def uv_at(planes, uv, face, x, y):  # type: ignore[no-untyped-def]
    """The texture coordinates where the ray (x, y, 1) meets a face."""
    e0 = planes[0] * x + planes[1] * y + planes[2]
    e1 = planes[3] * x + planes[4] * y + planes[5]
    e2 = planes[6] * x + planes[7] * y + planes[8]
    share = 1.0 / (e0 + e1 + e2)
    return (
        (e0 * uv[face, 0, 0] + e1 * uv[face, 1, 0] + e2 * uv[face, 2, 0]) * share,
        (e0 * uv[face, 0, 1] + e1 * uv[face, 1, 1] + e2 * uv[face, 2, 1]) * share,
    )


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def keeps_inside(uv, face):  # type: ignore[no-untyped-def]
    """Whether a face keeps to its texture instead of repeating it."""
    lowest = min(
        uv[face, 0, 0], uv[face, 0, 1], uv[face, 1, 0], uv[face, 1, 1], uv[face, 2, 0],
        uv[face, 2, 1],
    )  # fmt: skip
    highest = max(
        uv[face, 0, 0], uv[face, 0, 1], uv[face, 1, 0], uv[face, 1, 1], uv[face, 2, 0],
        uv[face, 2, 1],
    )  # fmt: skip
    return lowest >= -1e-4 and highest <= 1.0001


@njit(cache=True, nogil=True, error_model="numpy")
def rasterize(points, faces, kind, texture, uv, atlas, focal, near, grids, nearest, inverse):  # type: ignore[no-untyped-def]
    """Find the nearest face at every place of square grids over the picture.

    Args:
        points: (V, 5) from `to_camera`.
        faces: (F, 3) int64.
        kind: (F,) uint8 as in `Paint`, or (0,) where all is solid. BLENDED faces hide nothing.
        texture: (F,) int32 as in `Paint`.
        uv: (F, 3, 2) as in `Paint`.
        atlas: the textures, for their holes.
        focal: distance of the picture from the camera, in samples.
        near: smallest depth that is drawn.
        grids: (G, 4) int64 for each grid: where it begins in `nearest`; its rows and columns; the
            width of its cells in samples; 1 if blended faces count in it all the same.
        nearest: (N,) int32, filled with the nearest face, or -1, one grid after another.
        inverse: (N,) float64, filled with 1 / depth, or 0.
    """
    nearest[:] = -1
    inverse[:] = 0.0
    wide = float(grids[0, 1] * grids[0, 2])
    half = wide / 2
    texels, levels, counts = atlas.texels, atlas.levels, atlas.counts
    any_kind, any_texture = kind.shape[0] > 0, texture.shape[0] > 0
    for face in range(faces.shape[0]):
        i, j, k = faces[face, 0], faces[face, 1], faces[face, 2]
        left, right, top, bottom = box_of(points, i, j, k, wide, near)
        if not (left <= right and top <= bottom):
            continue
        how = kind[face] if any_kind else 0
        ready = False
        for grid in range(grids.shape[0]):
            start, size, step = grids[grid, 0], grids[grid, 1], grids[grid, 2]
            if how == 2 and grids[grid, 3] == 0:
                continue
            share = 1.0 / step
            first_row = math.ceil(top * share - 0.5)
            last_row = min(math.floor(bottom * share - 0.5), size - 1)
            first = math.ceil(left * share - 0.5)
            last = min(math.floor(right * share - 0.5), size - 1)
            if first_row > last_row or first > last:
                continue
            if not ready:
                ready = True
                planes = planes_of(points, i, j, k)
                n0, n1, n2 = planes[9], planes[10], planes[11]
                if planes[12] < 0.0:
                    more = 1.0 + _FRONT_FIRST
                    n0, n1, n2 = n0 * more, n1 * more, n2 * more
                # Only a triangle that reaches behind the camera has places nearer than that.
                crossing = min(points[i, 2], points[j, 2], points[k, 2]) <= near
                highest = 1.0 / near if crossing else np.inf
                holes = how > 0 and any_texture and texture[face] >= 0
                inside = keeps_inside(uv, face) if holes else False
            if planes[12] == 0.0:
                break
            scale, shift = focal * share, size * 0.5 - 0.5
            cell = 1.0 / scale
            level = 0
            if holes:
                # The mean of both directions: too small a copy loses thin leaves.
                x, y = ((left + right) / 2 - half) / focal, ((top + bottom) / 2 - half) / focal
                u, v = uv_at(planes, uv, face, x, y)
                u1, v1 = uv_at(planes, uv, face, x + cell, y)
                u2, v2 = uv_at(planes, uv, face, x, y + cell)
                rows, columns = levels[texture[face], 0, 1], levels[texture[face], 0, 2]
                area = math.hypot((u1 - u) * columns, (v1 - v) * rows) * math.hypot(
                    (u2 - u) * columns, (v2 - v) * rows
                )
                level = level_of(math.sqrt(area), counts[texture[face]])
            small = last - first < 3
            if not small:
                a, da, is_a = passing(planes[0], planes[1], planes[2], scale, shift)
                b, db, is_b = passing(planes[3], planes[4], planes[5], scale, shift)
                c, dc, is_c = passing(planes[6], planes[7], planes[8], scale, shift)
            for row in range(first_row, last_row + 1):
                y = (row - shift) * cell
                low, high = first, last
                if not small:
                    from_, to = span_of(
                        a, da, is_a, b, db, is_b, c, dc, is_c, y, float(first), float(last)
                    )
                    if not from_ <= to:
                        continue
                    low, high = math.ceil(from_), math.floor(to)
                w_row = n1 * y + n2
                for column in range(low, high + 1):
                    x = (column - shift) * cell
                    if small and (
                        planes[0] * x + planes[1] * y + planes[2] < 0.0
                        or planes[3] * x + planes[4] * y + planes[5] < 0.0
                        or planes[6] * x + planes[7] * y + planes[8] < 0.0
                    ):
                        continue
                    w = n0 * x + w_row
                    at = start + row * size + column
                    if w > inverse[at] and w < highest:
                        if holes:
                            u, v = uv_at(planes, uv, face, x, y)
                            alpha = alpha_at(texels, levels, texture[face], level, u, v, inside)
                            if how == 2:
                                if alpha < 0.1:
                                    continue
                            else:
                                # Where the texture is half there, some samples are covered: which
                                # ones differs from face to face, so that leaves fill the gaps.
                                shifted = _SPREAD[row & 3, column & 3] + face * 0.6180339887498949
                                if alpha <= shifted - math.floor(shifted):
                                    continue
                        inverse[at] = w
                        nearest[at] = face
