"""The rasteriser: which face is seen where, by homogeneous edge functions.

Everything is done with the triangles as the camera sees them in space, never cut and never divided
by their depth: a triangle that reaches behind the camera needs no clipping, and neighbours decide
about the edge between them with the very same numbers, so that no crack opens.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from triform.geometry.texels import bilinear, level_of

# Where two faces lie in one place, back to back, the one that is turned to the camera is seen.
_FRONT_FIRST = 1e-6
# What lies nearer than this share of the depth of everything is not drawn.
_NEAR = 1e-4
_SLACK = 1e-9
# In an order that spreads: which samples of 4 x 4 a half transparent place covers first.
_SPREAD = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]) / 16 + 1 / 32


@njit(cache=True, nogil=True)
def to_camera(vertices, origin, axes, points):  # type: ignore[no-untyped-def]
    """Write (V, 3) vertices into `points`, in the camera's axes (rows of `axes`).

    Returns:
        What counts as too near to be drawn.
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
        deepest = max(deepest, points[i, 2])
    return _NEAR * deepest


@njit(cache=True, nogil=True, inline="always")
def cross(a, b):  # type: ignore[no-untyped-def]
    """The cross product of two triples."""
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


@njit(cache=True, nogil=True)
def corners_of(points, faces, face):  # type: ignore[no-untyped-def]
    """The corners of a face, three triples."""
    i, j, k = faces[face, 0], faces[face, 1], faces[face, 2]
    return (
        (points[i, 0], points[i, 1], points[i, 2]),
        (points[j, 0], points[j, 1], points[j, 2]),
        (points[k, 0], points[k, 1], points[k, 2]),
    )


@njit(cache=True, nogil=True)
def box_of(p, q, r, focal, half, near):  # type: ignore[no-untyped-def]
    """Where on the picture a triangle may be, in samples: left, right, top, bottom."""
    wide = 2 * half
    lowest, highest = min(p[2], q[2], r[2]), max(p[2], q[2], r[2])
    if highest <= near:
        return 1.0, 0.0, 1.0, 0.0
    if lowest <= near:
        return 0.0, wide, 0.0, wide
    x0, x1, x2 = p[0] / p[2], q[0] / q[2], r[0] / r[2]
    y0, y1, y2 = p[1] / p[2], q[1] / q[2], r[1] / r[2]
    return (
        max(half + focal * min(x0, x1, x2) - 1e-6, 0.0),
        min(half + focal * max(x0, x1, x2) + 1e-6, wide),
        max(half + focal * min(y0, y1, y2) - 1e-6, 0.0),
        min(half + focal * max(y0, y1, y2) + 1e-6, wide),
    )


@njit(cache=True, nogil=True)
def planes_of(p, q, r):  # type: ignore[no-untyped-def]
    """Planes through the camera and each edge, and the plane that gives 1 / depth.

    Returns:
        The planes opposite to p, q and r, positive inside the triangle; the plane of 1 / depth;
        and six times the volume between camera and triangle, negative if it is seen from the front,
        0 if it is seen on edge.
    """
    zero = (0.0, 0.0, 0.0)
    a, b, c = cross(q, r), cross(r, p), cross(p, q)
    volume = p[0] * a[0] + p[1] * a[1] + p[2] * a[2]
    if volume == 0.0:
        return zero, zero, zero, zero, volume
    n = cross((q[0] - p[0], q[1] - p[1], q[2] - p[2]), (r[0] - p[0], r[1] - p[1], r[2] - p[2]))
    n = (n[0] / volume, n[1] / volume, n[2] / volume)
    if volume < 0.0:
        a, b, c = (-a[0], -a[1], -a[2]), (-b[0], -b[1], -b[2]), (-c[0], -c[1], -c[2])
    return a, b, c, n, volume


@njit(cache=True, nogil=True)
def narrowed(plane, y, scale, shift, low, high):  # type: ignore[no-untyped-def]
    """Narrow a row's columns `low` to `high` to those on the inner side of a plane.

    A ray's x is (column + 1/2) * step / focal - half / focal = column / scale - shift / scale.
    """
    rest = plane[1] * y + plane[2]
    if plane[0] > 0.0:
        return max(low, shift - rest / plane[0] * scale - _SLACK), high
    if plane[0] < 0.0:
        return low, min(high, shift - rest / plane[0] * scale + _SLACK)
    return (low, high) if rest >= 0.0 else (1.0, 0.0)


@njit(cache=True, nogil=True)
def rasterize(  # type: ignore[no-untyped-def]
    points, faces, paint, focal, near, samples, nearest, inverse, centre, centre_inverse
):
    """Find the nearest face at every sample, and in the middle of every pixel.

    Blended faces count for the middle only: they hide nothing.

    Args:
        points: (V, 3) float64 in the camera's axes: right, down, into the scene.
        faces: (F, 3) int64.
        paint: a `Paint`.
        focal: distance of the picture from the camera, in samples.
        near: smallest depth that is drawn.
        samples: samples along the side of a pixel.
        nearest: (W, W) int32, filled with the nearest face at every sample, or -1.
        inverse: (W, W) float64, filled with 1 / depth, or 0.
        centre: (S, S) int32, the same for the middle of pixels; (0, 0) where nobody asks.
        centre_inverse: (S, S) float64.
    """
    nearest[:] = -1
    inverse[:] = 0.0
    centre[:] = -1
    centre_inverse[:] = 0.0
    half = nearest.shape[0] / 2
    plain = paint.kind.shape[0] == 0
    for face in range(faces.shape[0]):
        p, q, r = corners_of(points, faces, face)
        left, right, top, bottom = box_of(p, q, r, focal, half, near)
        if left > right or top > bottom:
            continue
        kind = 0 if plain else paint.kind[face]
        fine = (
            kind < 2
            and math.ceil(left - 0.5) <= math.floor(right - 0.5)
            and math.ceil(top - 0.5) <= math.floor(bottom - 0.5)
        )
        coarse = (
            centre.shape[0] > 0
            and math.ceil(left / samples - 0.5) <= math.floor(right / samples - 0.5)
            and math.ceil(top / samples - 0.5) <= math.floor(bottom / samples - 0.5)
        )
        if not fine and not coarse:
            continue
        a, b, c, n, volume = planes_of(p, q, r)
        if volume == 0.0:
            continue
        if volume < 0.0:
            more = 1.0 + _FRONT_FIRST
            n = (n[0] * more, n[1] * more, n[2] * more)
        # Only a triangle that reaches behind the camera has places nearer than that.
        highest = 1.0 / near if min(p[2], q[2], r[2]) <= near else np.inf
        box = (left, right, top, bottom)
        if fine:
            _fill(face, kind, box, a, b, c, n, highest, paint, focal, 1, half, nearest, inverse)
        if coarse:
            _fill(
                face, kind, box, a, b, c, n, highest, paint, focal, samples, half,
                centre, centre_inverse,
            )  # fmt: skip


@njit(cache=True, nogil=True)
def _fill(  # type: ignore[no-untyped-def]
    face, kind, box, a, b, c, n, highest, paint, focal, step, half, nearest, inverse
):
    """Enter a face wherever it is the nearest so far; `step` is the grid's width in samples."""
    left, right, top, bottom = box
    last = nearest.shape[0] - 1
    first_row = max(int(math.ceil(top / step - 0.5)), 0)
    last_row = min(int(math.floor(bottom / step - 0.5)), last)
    first = float(max(int(math.ceil(left / step - 0.5)), 0))
    final = float(min(int(math.floor(right / step - 0.5)), last))
    scale, shift = focal / step, half / step - 0.5
    level = 0
    if kind > 0 and paint.texture.shape[0] > 0 and paint.texture[face] >= 0:
        level = _level(paint, face, a, b, c, box, step, focal, half)
    for row in range(first_row, last_row + 1):
        y = ((row + 0.5) * step - half) / focal
        low, high = narrowed(a, y, scale, shift, first, final)
        low, high = narrowed(b, y, scale, shift, low, high)
        low, high = narrowed(c, y, scale, shift, low, high)
        if low > high:
            continue
        w_row = n[1] * y + n[2]
        for column in range(int(math.ceil(low)), int(math.floor(high)) + 1):
            x = ((column + 0.5) * step - half) / focal
            w = n[0] * x + w_row
            if w > inverse[row, column] and w < highest:
                if kind > 0 and _is_hole(paint, face, kind, a, b, c, x, y, row, column, level):
                    continue
                inverse[row, column] = w
                nearest[row, column] = face


@njit(cache=True, nogil=True)
def place_on(paint, face, a, b, c, x, y):  # type: ignore[no-untyped-def]
    """The texture coordinates where the ray (x, y, 1) meets a face."""
    e0 = a[0] * x + a[1] * y + a[2]
    e1 = b[0] * x + b[1] * y + b[2]
    e2 = c[0] * x + c[1] * y + c[2]
    total = e0 + e1 + e2
    if total == 0.0:
        return 0.0, 0.0
    uv = paint.uv
    return (
        (e0 * uv[face, 0, 0] + e1 * uv[face, 1, 0] + e2 * uv[face, 2, 0]) / total,
        (e0 * uv[face, 0, 1] + e1 * uv[face, 1, 1] + e2 * uv[face, 2, 1]) / total,
    )


@njit(cache=True, nogil=True)
def is_inside(paint, face):  # type: ignore[no-untyped-def]
    """Whether a face keeps to its texture instead of repeating it."""
    for corner in range(3):
        for axis in range(2):
            if not -1e-4 <= paint.uv[face, corner, axis] <= 1.0001:
                return False
    return True


@njit(cache=True, nogil=True)
def _level(paint, face, a, b, c, box, step, focal, half):  # type: ignore[no-untyped-def]
    """The copy of a face's texture that fits the grid, judged in the middle of the face."""
    x = ((box[0] + box[1]) / 2 - half) / focal
    y = ((box[2] + box[3]) / 2 - half) / focal
    u, v = place_on(paint, face, a, b, c, x, y)
    u1, v1 = place_on(paint, face, a, b, c, x + step / focal, y)
    u2, v2 = place_on(paint, face, a, b, c, x, y + step / focal)
    texture = paint.texture[face]
    height, width = paint.atlas.levels[texture, 0, 1], paint.atlas.levels[texture, 0, 2]
    # The mean of both directions: too small a copy loses thin leaves.
    texels = math.sqrt(
        math.hypot((u1 - u) * width, (v1 - v) * height)
        * math.hypot((u2 - u) * width, (v2 - v) * height)
    )
    return level_of(paint.atlas, texture, texels)


@njit(cache=True, nogil=True)
def _is_hole(paint, face, kind, a, b, c, x, y, row, column, level):  # type: ignore[no-untyped-def]
    """Whether a face's texture lets one sees through it at a sample.

    Where the texture is half there, some of the samples are covered: which ones changes from face
    to face, so that leaves behind leaves fill the gaps.
    """
    if paint.texture.shape[0] == 0 or paint.texture[face] < 0:
        return False
    u, v = place_on(paint, face, a, b, c, x, y)
    inside = is_inside(paint, face)
    alpha = bilinear(paint.atlas, paint.texture[face], level, u, v, inside)[3] / 255
    if kind == 2:
        return alpha < 0.1
    threshold = _SPREAD[row & 3, column & 3] + (face * 0.6180339887498949) % 1.0
    return alpha <= threshold - math.floor(threshold)
