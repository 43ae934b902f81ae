"""The rasteriser: which face is seen where, by homogeneous edge functions.

Everything is done with the triangles as the camera sees them in space, never cut and never divided
by their depth: a triangle that reaches behind the camera needs no clipping, and neighbours decide
about the edge between them with the very same numbers, so that no crack opens.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

# Where two faces lie in one place, back to back, the one that is turned to the camera is seen.
_FRONT_FIRST = 1e-6
# What lies nearer than this many times the extent of the picture's contents is not drawn.
NEAR = 1e-4


@njit(cache=True, nogil=True)
def to_camera(vertices, origin, axes, points):  # type: ignore[no-untyped-def]
    """Write (V, 3) vertices into `points`, in the camera's axes (rows of `axes`)."""
    for i in range(vertices.shape[0]):
        x, y, z = (
            vertices[i, 0] - origin[0],
            vertices[i, 1] - origin[1],
            vertices[i, 2] - origin[2],
        )
        for axis in range(3):
            points[i, axis] = axes[axis, 0] * x + axes[axis, 1] * y + axes[axis, 2] * z


@njit(cache=True, nogil=True, inline="always")
def _cross(a, b):  # type: ignore[no-untyped-def]
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


@njit(cache=True, nogil=True)
def rasterize(points, faces, focal, samples, nearest, inverse, centre, centre_inverse):  # type: ignore[no-untyped-def]
    """Find the nearest face at every sample, and in the middle of every pixel.

    Args:
        points: (V, 3) float64 in the camera's axes: right, down, into the scene.
        faces: (F, 3) int64.
        focal: distance of the picture from the camera, in samples.
        samples: samples along the side of a pixel.
        nearest: (W, W) int32, filled with the nearest face at every sample, or -1.
        inverse: (W, W) float64, filled with 1 / depth, or 0.
        centre: (S, S) int32, the same for the middle of pixels; (0, 0) where nobody asks.
        centre_inverse: (S, S) float64.
    """
    wide = nearest.shape[0]
    pixels = centre.shape[0]
    nearest[:] = -1
    inverse[:] = 0.0
    centre[:] = -1
    centre_inverse[:] = 0.0
    half = wide / 2
    extent = 0.0
    for i in range(points.shape[0]):
        extent = max(extent, abs(points[i, 2]))
    near = NEAR * extent
    for face in range(faces.shape[0]):
        p, q, r = points[faces[face, 0]], points[faces[face, 1]], points[faces[face, 2]]
        if max(p[2], q[2], r[2]) <= near:
            continue
        crossing = min(p[2], q[2], r[2]) <= near
        if crossing:
            left, right, top, bottom = 0.0, float(wide), 0.0, float(wide)
        else:
            x0, x1, x2 = p[0] / p[2], q[0] / q[2], r[0] / r[2]
            y0, y1, y2 = p[1] / p[2], q[1] / q[2], r[1] / r[2]
            left = max(half + focal * min(x0, x1, x2) - 1e-6, 0.0)
            right = min(half + focal * max(x0, x1, x2) + 1e-6, float(wide))
            top = max(half + focal * min(y0, y1, y2) - 1e-6, 0.0)
            bottom = min(half + focal * max(y0, y1, y2) + 1e-6, float(wide))
        if left > right or top > bottom:
            continue
        # Rows and columns of samples, and of pixels, whose middles lie in this box.
        first_row, last_row = math.ceil(top - 0.5), math.floor(bottom - 0.5)
        first, last = math.ceil(left - 0.5), math.floor(right - 0.5)
        first_pixel_row = math.ceil(top / samples - 0.5)
        last_pixel_row = math.floor(bottom / samples - 0.5)
        first_pixel = math.ceil(left / samples - 0.5)
        last_pixel = math.floor(right / samples - 0.5)
        some = first_row <= last_row and first <= last
        middles = pixels > 0 and first_pixel_row <= last_pixel_row and first_pixel <= last_pixel
        if not some and not middles:
            continue
        # Planes through the camera and each edge; a ray inside is on one side of all three.
        a0, b0, c0 = _cross(q, r)
        a1, b1, c1 = _cross(r, p)
        a2, b2, c2 = _cross(p, q)
        volume = p[0] * a0 + p[1] * b0 + p[2] * c0
        if volume == 0.0:
            continue
        sign = 1.0 if volume > 0.0 else -1.0
        # 1 / depth is linear on the picture: the face's plane, divided by its distance.
        na, nb, nc = _cross(
            (q[0] - p[0], q[1] - p[1], q[2] - p[2]), (r[0] - p[0], r[1] - p[1], r[2] - p[2])
        )
        toward = 1.0 + (_FRONT_FIRST if volume < 0.0 else 0.0)
        na, nb, nc = na / volume * toward, nb / volume * toward, nc / volume * toward
        highest = 1.0 / near if crossing else np.inf
        for grid in range(2):
            # The first time over the samples, the second time over the middles of pixels.
            if grid == 0:
                if not some:
                    continue
                step, wanted, deep = 1.0, nearest, inverse
                row_from, row_to, from_, to = first_row, last_row, first, last
            else:
                if not middles:
                    continue
                step, wanted, deep = float(samples), centre, centre_inverse
                row_from, row_to = first_pixel_row, last_pixel_row
                from_, to = first_pixel, last_pixel
            row_from, row_to = max(row_from, 0), min(row_to, wanted.shape[0] - 1)
            for row in range(row_from, row_to + 1):
                y = ((row + 0.5) * step - half) / focal
                low, high = float(max(from_, 0)), float(min(to, wanted.shape[1] - 1))
                empty = False
                for edge in range(3):
                    if edge == 0:
                        a, b, c = a0, b0, c0
                    elif edge == 1:
                        a, b, c = a1, b1, c1
                    else:
                        a, b, c = a2, b2, c2
                    slope, rest = sign * a, sign * (b * y + c)
                    if slope != 0.0:
                        # The column at which the ray passes the edge.
                        x = -rest / slope
                        column = (half + focal * x) / step - 0.5
                        if slope > 0.0:
                            low = max(low, column - 1e-9)
                        else:
                            high = min(high, column + 1e-9)
                    elif rest < 0.0:
                        empty = True
                if empty or low > high:
                    continue
                for column in range(math.ceil(low), math.floor(high) + 1):
                    x = ((column + 0.5) * step - half) / focal
                    w = na * x + nb * y + nc
                    if w > deep[row, column] and w < highest:
                        deep[row, column] = w
                        wanted[row, column] = face
