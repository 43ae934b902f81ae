"""Rasterizer with a z-buffer, by homogeneous edge functions.

Triangles stay in camera space, neither clipped nor divided by depth (Olano and Greer 1997): a
triangle that reaches behind the camera needs no clipping, and two neighbours evaluate the same edge
function, so that no crack opens between them.
"""

from __future__ import annotations

import math

import numpy as np

from triform.base.compiled import njit
from triform.geometry.render.mipmaps import mip_level, sample_alpha

# Of two coincident faces, back to back, the one that faces the camera is drawn.
FRONT_FACE_BIAS = 1e-6
# Near plane as a share of the largest depth.
NEAR_PLANE = 1e-4
SPAN_TOLERANCE = 1e-9
# Ordered dithering of alpha over 4x4 samples (Bayer matrix).
DITHER_MATRIX = (
    np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]) / 16 + 1 / 32
)


@njit(cache=True, nogil=True, error_model="numpy")
def project_vertices(vertices, origin, axes, focal, half, points):  # type: ignore[no-untyped-def]
    """Transform vertices to camera space and project them onto the image.

    Args:
        vertices: (V, 3) float64.
        origin: (3,) of the camera.
        axes: (3, 3) of the camera, in rows: right, down, into the scene.
        focal: focal length, in samples.
        half: half the width of the image, in samples.
        points: (V, 5) float64 to fill: camera coordinates x, y, z; column and row on the image,
            undefined behind the camera.

    Returns:
        Depth of the near plane.
    """
    max_depth = 0.0
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
        max_depth = max(max_depth, depth)
    return NEAR_PLANE * max_depth


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def screen_bounds(points, i, j, k, width, near):  # type: ignore[no-untyped-def]
    """Bounding box of a triangle on the image, in samples: left, right, top, bottom."""
    left, right, top, bottom = 0.0, width, 0.0, width
    if min(points[i, 2], points[j, 2], points[k, 2]) > near:
        left = max(min(points[i, 3], points[j, 3], points[k, 3]) - 1e-6, 0.0)
        right = min(max(points[i, 3], points[j, 3], points[k, 3]) + 1e-6, width)
        top = max(min(points[i, 4], points[j, 4], points[k, 4]) - 1e-6, 0.0)
        bottom = min(max(points[i, 4], points[j, 4], points[k, 4]) + 1e-6, width)
    elif max(points[i, 2], points[j, 2], points[k, 2]) <= near:
        left, right = 1.0, 0.0
    return left, right, top, bottom


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def edge_planes(points, i, j, k):  # type: ignore[no-untyped-def]
    """Edge functions of a triangle, and the plane equation of 1 / depth.

    Returns:
        Coefficients of the three edge functions opposite to the corners, positive inside the
        triangle (9 numbers); those of 1 / depth (3); six times the signed volume between camera
        and triangle, negative for a front face, 0 for a face seen on edge.
    """
    px, py, pz = points[i, 0], points[i, 1], points[i, 2]
    qx, qy, qz = points[j, 0], points[j, 1], points[j, 2]
    rx, ry, rz = points[k, 0], points[k, 1], points[k, 2]
    a0, a1, a2 = qy * rz - qz * ry, qz * rx - qx * rz, qx * ry - qy * rx
    b0, b1, b2 = ry * pz - rz * py, rz * px - rx * pz, rx * py - ry * px
    c0, c1, c2 = py * qz - pz * qy, pz * qx - px * qz, px * qy - py * qx
    volume = px * a0 + py * a1 + pz * a2
    u0, u1, u2, v0, v1, v2 = qx - px, qy - py, qz - pz, rx - px, ry - py, rz - pz
    inverse = 1.0 / volume
    n0, n1, n2 = (
        (u1 * v2 - u2 * v1) * inverse,
        (u2 * v0 - u0 * v2) * inverse,
        (u0 * v1 - u1 * v0) * inverse,
    )
    if volume < 0.0:
        a0, a1, a2, b0, b1, b2, c0, c1, c2 = -a0, -a1, -a2, -b0, -b1, -b2, -c0, -c1, -c2
    return a0, a1, a2, b0, b1, b2, c0, c1, c2, n0, n1, n2, volume


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def edge_crossing(px, py, pz, scale, shift):  # type: ignore[no-untyped-def]
    """The column `start + slope * y` where rows cross an edge; whether the inside is to its right.

    A ray's x is (column - shift) / scale.
    """
    # An edge parallel to the rows is crossed far to the left or right.
    divisor = px if px != 0.0 else 1e-30
    remainder = pz if px != 0.0 else pz + 1e-20
    return shift - remainder / divisor * scale, -py / divisor * scale, divisor > 0.0


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def scanline_span(a, da, is_a, b, db, is_b, c, dc, is_c, y, first, last):  # type: ignore[no-untyped-def]
    """The span of a row between `first` and `last` that lies inside three edges."""
    column_a, column_b, column_c = a + da * y, b + db * y, c + dc * y
    low, high = first - SPAN_TOLERANCE, last + SPAN_TOLERANCE
    if is_a:
        low = max(low, column_a)
    else:
        high = min(high, column_a)
    if is_b:
        low = max(low, column_b)
    else:
        high = min(high, column_b)
    if is_c:
        low = max(low, column_c)
    else:
        high = min(high, column_c)
    return low - SPAN_TOLERANCE, high + SPAN_TOLERANCE


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def interpolate_uv(planes, uv, face, x, y):  # type: ignore[no-untyped-def]
    """Perspective-correct texture coordinates where the ray (x, y, 1) meets a face."""
    e0 = planes[0] * x + planes[1] * y + planes[2]
    e1 = planes[3] * x + planes[4] * y + planes[5]
    e2 = planes[6] * x + planes[7] * y + planes[8]
    inverse = 1.0 / (e0 + e1 + e2)
    return (
        (e0 * uv[face, 0, 0] + e1 * uv[face, 1, 0] + e2 * uv[face, 2, 0]) * inverse,
        (e0 * uv[face, 0, 1] + e1 * uv[face, 1, 1] + e2 * uv[face, 2, 1]) * inverse,
    )


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def uv_in_unit_square(uv, face):  # type: ignore[no-untyped-def]
    """Whether a face stays inside its texture instead of repeating it."""
    a, b, c = uv[face, 0, 0], uv[face, 1, 0], uv[face, 2, 0]
    d, e, f = uv[face, 0, 1], uv[face, 1, 1], uv[face, 2, 1]
    return min(a, b, c, d, e, f) >= -1e-4 and max(a, b, c, d, e, f) <= 1.0001


@njit(cache=True, nogil=True, error_model="numpy")
def rasterize(  # type: ignore[no-untyped-def]
    points, faces, attributes, focal, near, targets, face_index, zbuffer
):
    """Find the nearest face at every pixel of one or more square render targets.

    Args:
        points: (V, 5) from `project_vertices`.
        faces: (F, 3) int64.
        attributes: `FaceAttributes` of the faces, for their alpha. BLEND faces are left out.
        focal: focal length, in samples.
        near: depth of the near plane.
        targets: (T, 4) int64 for each render target: its offset in `face_index`; its rows and
            columns; the width of its pixels in samples; 1 if BLEND faces are drawn as well.
        face_index: (N,) int32, filled with the nearest face, or -1, one target after another.
        zbuffer: (N,) float64, filled with 1 / depth, or 0.
    """
    face_index[:] = -1
    zbuffer[:] = 0.0
    width = float(targets[0, 1] * targets[0, 2])
    half = width / 2
    alpha_mode, texture, uv = attributes.alpha_mode, attributes.texture, attributes.uv
    levels, counts = attributes.atlas.levels, attributes.atlas.counts
    any_mode, any_texture = alpha_mode.shape[0] > 0, texture.shape[0] > 0
    for face in range(faces.shape[0]):
        i, j, k = faces[face, 0], faces[face, 1], faces[face, 2]
        left, right, top, bottom = screen_bounds(points, i, j, k, width, near)
        if not (left <= right and top <= bottom):
            continue
        mode = alpha_mode[face] if any_mode else 0
        has_planes = False
        for target in range(targets.shape[0]):
            start, size, step = targets[target, 0], targets[target, 1], targets[target, 2]
            if mode == 2 and targets[target, 3] == 0:
                continue
            inverse = 1.0 / step
            first_row = math.ceil(top * inverse - 0.5)
            last_row = min(math.floor(bottom * inverse - 0.5), size - 1)
            first = math.ceil(left * inverse - 0.5)
            last = min(math.floor(right * inverse - 0.5), size - 1)
            if first_row > last_row or first > last:
                continue
            if not has_planes:
                has_planes = True
                planes = edge_planes(points, i, j, k)
                n0, n1, n2 = planes[9], planes[10], planes[11]
                if planes[12] < 0.0:
                    more = 1.0 + FRONT_FACE_BIAS
                    n0, n1, n2 = n0 * more, n1 * more, n2 * more
                # Only a triangle that crosses the near plane has points in front of it.
                crosses_near = min(points[i, 2], points[j, 2], points[k, 2]) <= near
                max_inverse_depth = 1.0 / near if crosses_near else np.inf
                textured = mode > 0 and any_texture and texture[face] >= 0
                clamp = uv_in_unit_square(uv, face) if textured else False
            if planes[12] == 0.0:
                break
            scale, shift = focal * inverse, size * 0.5 - 0.5
            pixel_size = 1.0 / scale
            level = 0
            if textured:
                # The mean of both directions: too coarse a level loses thin leaves.
                x, y = ((left + right) / 2 - half) / focal, ((top + bottom) / 2 - half) / focal
                u, v = interpolate_uv(planes, uv, face, x, y)
                u1, v1 = interpolate_uv(planes, uv, face, x + pixel_size, y)
                u2, v2 = interpolate_uv(planes, uv, face, x, y + pixel_size)
                rows, columns = levels[texture[face], 0, 1], levels[texture[face], 0, 2]
                area = math.hypot((u1 - u) * columns, (v1 - v) * rows) * math.hypot(
                    (u2 - u) * columns, (v2 - v) * rows
                )
                level = mip_level(math.sqrt(area), counts[texture[face]])
            small = last - first < 3
            if not small:
                a, da, is_a = edge_crossing(planes[0], planes[1], planes[2], scale, shift)
                b, db, is_b = edge_crossing(planes[3], planes[4], planes[5], scale, shift)
                c, dc, is_c = edge_crossing(planes[6], planes[7], planes[8], scale, shift)
            for row in range(first_row, last_row + 1):
                y = (row - shift) * pixel_size
                low, high = first, last
                if not small:
                    span_start, span_end = scanline_span(
                        a, da, is_a, b, db, is_b, c, dc, is_c, y, float(first), float(last)
                    )
                    if not span_start <= span_end:
                        continue
                    low, high = math.ceil(span_start), math.floor(span_end)
                w_row = n1 * y + n2
                for column in range(low, high + 1):
                    x = (column - shift) * pixel_size
                    if small and (
                        planes[0] * x + planes[1] * y + planes[2] < 0.0
                        or planes[3] * x + planes[4] * y + planes[5] < 0.0
                        or planes[6] * x + planes[7] * y + planes[8] < 0.0
                    ):
                        continue
                    w = n0 * x + w_row
                    pixel = start + row * size + column
                    if w > zbuffer[pixel] and w < max_inverse_depth:
                        if textured:
                            u, v = interpolate_uv(planes, uv, face, x, y)
                            alpha = sample_alpha(
                                attributes.atlas, texture[face], level, u, v, clamp
                            )
                            if mode == 2:
                                if alpha < 0.1:
                                    continue
                            else:
                                # Alpha to coverage: which samples are covered differs from face
                                # to face, so that the leaves behind fill the gaps.
                                dithered = (
                                    DITHER_MATRIX[row & 3, column & 3] + face * 0.6180339887498949
                                )
                                if alpha <= dithered - math.floor(dithered):
                                    continue
                        zbuffer[pixel] = w
                        face_index[pixel] = face
