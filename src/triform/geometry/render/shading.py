"""Shading of the rasterized faces, blending of translucent ones, and the average over samples."""

from __future__ import annotations

import math
from typing import Any

from numba.core.options import DefaultOptions

from triform.base.compiled import njit
from triform.geometry.render.mipmaps import sample_filtered
from triform.geometry.render.rasterizer import (
    edge_crossing,
    edge_planes,
    interpolate_uv,
    scanline_span,
    screen_bounds,
    uv_in_unit_square,
)

# These kernels allocate no arrays. With this option numba leaves out the reference counting of
# their arguments at every pixel, which takes longer than the shading.
NO_REFERENCE_COUNTS: dict[str, Any] = {"_nrt": False} if hasattr(DefaultOptions, "_nrt") else {}

# Colours darker than the threshold are lightened before they are lit: by this share of what is
# missing to the threshold.
LIFT_THRESHOLD, LIFT_STRENGTH = 40.0, 0.7


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _shade_point(planes, attributes, lights, face, x, y, pixel_size):  # type: ignore[no-untyped-def]
    """Colour (0 to 255) and opacity of a face where the ray (x, y, 1) meets it.

    `planes` are the face's from `edge_planes`; `pixel_size` is the step of x and y to the next
    pixel; for `attributes` and `lights` see `shade`.
    """
    e0 = planes[0] * x + planes[1] * y + planes[2]
    e1 = planes[3] * x + planes[4] * y + planes[5]
    e2 = planes[6] * x + planes[7] * y + planes[8]
    total = e0 + e1 + e2
    if total != 0.0:
        e0, e1, e2 = e0 / total, e1 / total, e2 / total
    red = float(attributes.base_color[face, 0])
    green = float(attributes.base_color[face, 1])
    blue = float(attributes.base_color[face, 2])
    blended = attributes.alpha_mode.shape[0] > 0 and attributes.alpha_mode[face] == 2
    alpha = float(attributes.opacity[face]) if blended else 1.0
    if attributes.corner_colors.shape[0] > 0:
        red *= _interpolate(e0, e1, e2, attributes.corner_colors, face, 0) / 255
        green *= _interpolate(e0, e1, e2, attributes.corner_colors, face, 1) / 255
        blue *= _interpolate(e0, e1, e2, attributes.corner_colors, face, 2) / 255
    if attributes.texture.shape[0] > 0 and attributes.texture[face] >= 0:
        u, v = interpolate_uv(planes, attributes.uv, face, x, y)
        u1, v1 = interpolate_uv(planes, attributes.uv, face, x + pixel_size, y)
        u2, v2 = interpolate_uv(planes, attributes.uv, face, x, y + pixel_size)
        clamp = uv_in_unit_square(attributes.uv, face)
        t_red, t_green, t_blue, t_alpha = sample_filtered(
            attributes.atlas, attributes.texture[face], u, v, u1, v1, u2, v2, clamp
        )
        share = 1.0 / t_alpha if t_alpha > 0.0 else 0.0
        red, green, blue = red * t_red * share, green * t_green * share, blue * t_blue * share
        if blended:
            alpha *= t_alpha / 255
    brightness = 1.0
    if lights.shape[0] > 0:
        # Without it the shape of a black object would be lost.
        dark_lift = max(LIFT_THRESHOLD - max(red, green, blue), 0.0) * LIFT_STRENGTH
        red, green, blue = red + dark_lift, green + dark_lift, blue + dark_lift
        # The gradient of 1 / depth is the normal that points away from the camera.
        nx, ny, nz = -planes[9], -planes[10], -planes[11]
        if attributes.normals.shape[0] > 0:
            mx = _interpolate(e0, e1, e2, attributes.normals, face, 0)
            my = _interpolate(e0, e1, e2, attributes.normals, face, 1)
            mz = _interpolate(e0, e1, e2, attributes.normals, face, 2)
            # To camera space, on the side that faces the camera.
            side = 1.0 if planes[12] < 0.0 else -1.0
            nx = side * (lights[2, 0] * mx + lights[2, 1] * my + lights[2, 2] * mz)
            ny = side * (lights[3, 0] * mx + lights[3, 1] * my + lights[3, 2] * mz)
            nz = side * (lights[4, 0] * mx + lights[4, 1] * my + lights[4, 2] * mz)
        length = math.sqrt(nx * nx + ny * ny + nz * nz)
        if length > 0.0:
            key = lights[0, 0] * nx + lights[0, 1] * ny + lights[0, 2] * nz
            fill = lights[1, 0] * nx + lights[1, 1] * ny + lights[1, 2] * nz
            brightness = lights[5, 0] + (max(key, 0.0) + max(fill, 0.0)) / length
    return (
        min(red * brightness, 255.0),
        min(green * brightness, 255.0),
        min(blue * brightness, 255.0),
        alpha,
    )


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _interpolate(e0, e1, e2, values, face, channel):  # type: ignore[no-untyped-def]
    """Value at barycentric coordinates (e0, e1, e2) of a face, from those of its corners."""
    return (
        e0 * values[face, 0, channel]
        + e1 * values[face, 1, channel]
        + e2 * values[face, 2, channel]
    )


@njit(cache=True, nogil=True, error_model="numpy", **NO_REFERENCE_COUNTS)
def shade(  # type: ignore[no-untyped-def]
    points, faces, attributes, lights, focal, samples, face_index, sample_faces, rgba, layers
):
    """Shade the pixels by the faces at their samples; each face is shaded once per pixel.

    Args:
        points: (V, 5) from `project_vertices`.
        faces: (F, 3) int64.
        attributes: `FaceAttributes` of the faces.
        lights: (6, 3) two directions to lights times their intensities, in camera space; the
            camera's axes in rows; ambient light. (0, 3) draws unlit colours.
        focal: focal length, in samples.
        samples: samples along the side of a pixel.
        face_index: (W, W) int32 from `rasterize`.
        sample_faces: (samples * samples,) int32, a buffer for the faces at the samples of a pixel.
        rgba: (S, S, 4) uint8 to fill, with straight alpha.
        layers: (W, W, 4) float32 premultiplied RGBA of the samples, to fill as well where `blend`
            follows; else (0, 0, 4).
    """
    size = rgba.shape[0]
    half = size * samples / 2
    count = samples * samples
    pixel_size = samples / focal
    keep_layers = layers.shape[0] > 0
    plane_face = -1
    planes = edge_planes(points, faces[0, 0], faces[0, 1], faces[0, 2])
    for row in range(size):
        for column in range(size):
            num_covered = 0
            for i in range(samples):
                for j in range(samples):
                    face = face_index[row * samples + i, column * samples + j]
                    sample_faces[i * samples + j] = face
                    num_covered += face >= 0
                    if keep_layers:
                        for channel in range(4):
                            layers[row * samples + i, column * samples + j, channel] = 0.0
            for channel in range(4):
                rgba[row, column, channel] = 0
            if num_covered == 0:
                continue
            red, green, blue = 0.0, 0.0, 0.0
            remaining, sample = num_covered, 0
            while remaining > 0:
                face = sample_faces[sample]
                sample += 1
                if face < 0:
                    continue
                # Shaded at the mean of the face's samples, which lies on the face.
                x, y, num_samples = 0, 0, 0
                for i in range(samples):
                    for j in range(samples):
                        if sample_faces[i * samples + j] == face:
                            x, y, num_samples = x + j, y + i, num_samples + 1
                if face != plane_face:
                    # Mostly it is the face of the pixel before.
                    plane_face = face
                    planes = edge_planes(points, faces[face, 0], faces[face, 1], faces[face, 2])
                r, g, b, _ = _shade_point(
                    planes,
                    attributes,
                    lights,
                    face,
                    (column * samples + x / num_samples + 0.5 - half) / focal,
                    (row * samples + y / num_samples + 0.5 - half) / focal,
                    pixel_size,
                )
                red, green, blue = (
                    red + r * num_samples,
                    green + g * num_samples,
                    blue + b * num_samples,
                )
                remaining -= num_samples
                for i in range(samples):
                    for j in range(samples):
                        if sample_faces[i * samples + j] == face:
                            sample_faces[i * samples + j] = -1
                            if keep_layers:
                                sample_row, sample_column = row * samples + i, column * samples + j
                                layers[sample_row, sample_column, 0] = r
                                layers[sample_row, sample_column, 1] = g
                                layers[sample_row, sample_column, 2] = b
                                layers[sample_row, sample_column, 3] = 1.0
            rgba[row, column, 0] = int(red / num_covered + 0.5)
            rgba[row, column, 1] = int(green / num_covered + 0.5)
            rgba[row, column, 2] = int(blue / num_covered + 0.5)
            rgba[row, column, 3] = int(255 * num_covered / count + 0.5)


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _inside_edge(a, b, c, x, y):  # type: ignore[no-untyped-def]
    """Whether a ray is inside an edge; an edge belongs to one of its two faces (top-left rule)."""
    side = a * x + b * y + c
    return side > 0.0 or (side == 0.0 and (a > 0.0 or (a == 0.0 and b > 0.0)))


@njit(cache=True, nogil=True, error_model="numpy", **NO_REFERENCE_COUNTS)
def blend(  # type: ignore[no-untyped-def]
    points, faces, attributes, lights, focal, near, samples, order, zbuffer, layers
):
    """Composite translucent faces over the samples behind them ("over" operator).

    Args:
        points: (V, 5) from `project_vertices`.
        faces: (F, 3) int64.
        attributes: `FaceAttributes` of the faces.
        lights: as for `shade`.
        focal: focal length, in samples.
        near: depth of the near plane.
        samples: samples along the side of a pixel.
        order: (B,) int64 indices of the translucent faces, farthest first.
        zbuffer: (W, W) 1 / depth of the opaque faces.
        layers: (W, W, 4) from `shade`, changed in place.
    """
    size = layers.shape[0]
    shift = size / 2 - 0.5
    pixel_size = samples / focal
    for face in order:
        i, j, k = faces[face, 0], faces[face, 1], faces[face, 2]
        left, right, top, bottom = screen_bounds(points, i, j, k, float(size), near)
        if not (left <= right and top <= bottom):
            continue
        planes = edge_planes(points, i, j, k)
        if planes[12] == 0.0:
            continue
        crosses_near = min(points[i, 2], points[j, 2], points[k, 2]) <= near
        max_inverse_depth = 1.0 / near if crosses_near else math.inf
        first, last = float(math.ceil(left - 0.5)), min(math.floor(right - 0.5), size - 1.0)
        a, da, is_a = edge_crossing(planes[0], planes[1], planes[2], focal, shift)
        b, db, is_b = edge_crossing(planes[3], planes[4], planes[5], focal, shift)
        c, dc, is_c = edge_crossing(planes[6], planes[7], planes[8], focal, shift)
        for row in range(math.ceil(top - 0.5), min(math.floor(bottom - 0.5), size - 1) + 1):
            y = (row - shift) / focal
            low, high = scanline_span(a, da, is_a, b, db, is_b, c, dc, is_c, y, first, last)
            if not low <= high:
                continue
            for column in range(math.ceil(low), math.floor(high) + 1):
                x = (column - shift) / focal
                w = planes[9] * x + planes[10] * y + planes[11]
                if w <= zbuffer[row, column] or w >= max_inverse_depth:
                    continue
                if not (
                    _inside_edge(planes[0], planes[1], planes[2], x, y)
                    and _inside_edge(planes[3], planes[4], planes[5], x, y)
                    and _inside_edge(planes[6], planes[7], planes[8], x, y)
                ):
                    continue
                red, green, blue, alpha = _shade_point(
                    planes, attributes, lights, face, x, y, pixel_size
                )
                transmittance = 1.0 - alpha
                layers[row, column, 0] = transmittance * layers[row, column, 0] + alpha * red
                layers[row, column, 1] = transmittance * layers[row, column, 1] + alpha * green
                layers[row, column, 2] = transmittance * layers[row, column, 2] + alpha * blue
                layers[row, column, 3] = transmittance * layers[row, column, 3] + alpha


@njit(cache=True, nogil=True, error_model="numpy")
def resolve_samples(layers, samples, rgba):  # type: ignore[no-untyped-def]
    """Average the samples of every pixel into (S, S, 4) uint8 with straight alpha."""
    for row in range(rgba.shape[0]):
        for column in range(rgba.shape[1]):
            red, green, blue, alpha = 0.0, 0.0, 0.0, 0.0
            for i in range(row * samples, (row + 1) * samples):
                for j in range(column * samples, (column + 1) * samples):
                    red += layers[i, j, 0]
                    green += layers[i, j, 1]
                    blue += layers[i, j, 2]
                    alpha += layers[i, j, 3]
            rgba[row, column, 0] = 0
            rgba[row, column, 1] = 0
            rgba[row, column, 2] = 0
            rgba[row, column, 3] = 0
            if alpha > 0.0:
                rgba[row, column, 0] = min(int(red / alpha + 0.5), 255)
                rgba[row, column, 1] = min(int(green / alpha + 0.5), 255)
                rgba[row, column, 2] = min(int(blue / alpha + 0.5), 255)
                rgba[row, column, 3] = int(255 * alpha / (samples * samples) + 0.5)
