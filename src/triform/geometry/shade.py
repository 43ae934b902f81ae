"""The colour of every pixel, once the nearest faces are known."""

from __future__ import annotations

import math
from typing import Any

from numba import njit
from numba.core.options import DefaultOptions

from triform.geometry.raster import box_of, keeps_inside, passing, planes_of, span_of, uv_at
from triform.geometry.texels import filtered

# These kernels make no arrays. Told so, numba leaves out counting who holds the ones that they are
# given, at every pixel, which takes longer than the drawing. Without the option they are slower.
_UNCOUNTED: dict[str, Any] = {"_nrt": False} if hasattr(DefaultOptions, "_nrt") else {}

# Lit colours darker than this are raised by so much of what they lack.
_LIFTED, _LIFT = 40.0, 0.7


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _look(  # type: ignore[no-untyped-def]
    planes, tint, kind, opacity, texture, uv, corners, normals, texels, levels, counts,
    lights, face, x, y, pixel,
):  # fmt: skip
    """Colour (0 to 255) and opacity of a face where the ray (x, y, 1) meets it.

    `planes` are those of the face, then come a `Paint`'s arrays; `pixel` is the step of x and y to
    the next pixel; for `lights` see `shade`.
    """
    e0 = planes[0] * x + planes[1] * y + planes[2]
    e1 = planes[3] * x + planes[4] * y + planes[5]
    e2 = planes[6] * x + planes[7] * y + planes[8]
    total = e0 + e1 + e2
    if total != 0.0:
        e0, e1, e2 = e0 / total, e1 / total, e2 / total
    red, green, blue = float(tint[face, 0]), float(tint[face, 1]), float(tint[face, 2])
    blended = kind.shape[0] > 0 and kind[face] == 2
    alpha = float(opacity[face]) if blended else 1.0
    if corners.shape[0] > 0:
        red *= (
            e0 * corners[face, 0, 0] + e1 * corners[face, 1, 0] + e2 * corners[face, 2, 0]
        ) / 255
        green *= (
            e0 * corners[face, 0, 1] + e1 * corners[face, 1, 1] + e2 * corners[face, 2, 1]
        ) / 255
        blue *= (
            e0 * corners[face, 0, 2] + e1 * corners[face, 1, 2] + e2 * corners[face, 2, 2]
        ) / 255
    if texture.shape[0] > 0 and texture[face] >= 0:
        u, v = uv_at(planes, uv, face, x, y)
        u1, v1 = uv_at(planes, uv, face, x + pixel, y)
        u2, v2 = uv_at(planes, uv, face, x, y + pixel)
        inside = keeps_inside(uv, face)
        t_red, t_green, t_blue, t_alpha = filtered(
            texels, levels, counts, texture[face], u, v, u1, v1, u2, v2, inside
        )
        share = 1.0 / t_alpha if t_alpha > 0.0 else 0.0
        red, green, blue = red * t_red * share, green * t_green * share, blue * t_blue * share
        if blended:
            alpha *= t_alpha / 255
    strength = 1.0
    if lights.shape[0] > 0:
        # The blackest thing still shines a little, or its shape would be lost.
        lift = max(_LIFTED - max(red, green, blue), 0.0) * _LIFT
        red, green, blue = red + lift, green + lift, blue + lift
        # 1 / depth grows along the normal that looks away from the camera.
        nx, ny, nz = -planes[9], -planes[10], -planes[11]
        if normals.shape[0] > 0:
            mx = e0 * normals[face, 0, 0] + e1 * normals[face, 1, 0] + e2 * normals[face, 2, 0]
            my = e0 * normals[face, 0, 1] + e1 * normals[face, 1, 1] + e2 * normals[face, 2, 1]
            mz = e0 * normals[face, 0, 2] + e1 * normals[face, 1, 2] + e2 * normals[face, 2, 2]
            # Into the camera's axes, and to the side that is seen.
            side = 1.0 if planes[12] < 0.0 else -1.0
            nx = side * (lights[2, 0] * mx + lights[2, 1] * my + lights[2, 2] * mz)
            ny = side * (lights[3, 0] * mx + lights[3, 1] * my + lights[3, 2] * mz)
            nz = side * (lights[4, 0] * mx + lights[4, 1] * my + lights[4, 2] * mz)
        length = math.sqrt(nx * nx + ny * ny + nz * nz)
        if length > 0.0:
            key = lights[0, 0] * nx + lights[0, 1] * ny + lights[0, 2] * nz
            fill = lights[1, 0] * nx + lights[1, 1] * ny + lights[1, 2] * nz
            strength = lights[5, 0] + (max(key, 0.0) + max(fill, 0.0)) / length
    return (
        min(red * strength, 255.0),
        min(green * strength, 255.0),
        min(blue * strength, 255.0),
        alpha,
    )


@njit(cache=True, nogil=True, error_model="numpy", **_UNCOUNTED)
def shade(  # type: ignore[no-untyped-def]
    points, faces, tint, kind, opacity, texture, uv, corners, normals, texels, levels, counts,
    lights, focal, samples, nearest, own, rgba, layers,
):  # fmt: skip
    """Colour the pixels by the faces at their samples; every face is looked at once per pixel.

    Args:
        points: (V, 5) from `to_camera`.
        faces: (F, 3) int64.
        tint: the arrays of a `Paint`, from here on: one by one, because numba counts references to
            those that come in a tuple, at every pixel.
        kind: (F*,).
        opacity: (F*,).
        texture: (F*,).
        uv: (F*, 3, 2).
        corners: (F*, 3, 3).
        normals: (F*, 3, 3).
        texels: (T, 4), the arrays of its atlas.
        levels: (N, L, 3).
        counts: (N,).
        lights: (6, 3) two directions to lights times their strength, in the camera's axes; the
            camera's axes in rows; ambient light. Without rows for the plain colours.
        focal: distance of the picture from the camera, in samples.
        samples: samples along the side of a pixel.
        nearest: (W, W) int32 from `rasterize`.
        own: (samples * samples,) int32 to work in.
        rgba: (S, S, 4) uint8 to fill, with straight alpha.
        layers: (W, W, 4) float32 to fill as well, multiplied by alpha, where something will be
            blended over it; else (0, 0, 4).
    """
    size = rgba.shape[0]
    half = size * samples / 2
    count = samples * samples
    pixel = samples / focal
    keep = layers.shape[0] > 0
    known = -1
    planes = planes_of(points, faces[0, 0], faces[0, 1], faces[0, 2])
    for row in range(size):
        for column in range(size):
            seen = 0
            for i in range(samples):
                for j in range(samples):
                    face = nearest[row * samples + i, column * samples + j]
                    own[i * samples + j] = face
                    seen += face >= 0
                    if keep:
                        for channel in range(4):
                            layers[row * samples + i, column * samples + j, channel] = 0.0
            for channel in range(4):
                rgba[row, column, channel] = 0
            if seen == 0:
                continue
            red, green, blue = 0.0, 0.0, 0.0
            left, next_one = seen, 0
            while left > 0:
                face = own[next_one]
                next_one += 1
                if face < 0:
                    continue
                # The middle of the face's samples lies on the face.
                x, y, times = 0, 0, 0
                for i in range(samples):
                    for j in range(samples):
                        if own[i * samples + j] == face:
                            x, y, times = x + j, y + i, times + 1
                if face != known:
                    # Mostly it is the same as in the pixel before.
                    known = face
                    planes = planes_of(points, faces[face, 0], faces[face, 1], faces[face, 2])
                r, g, b, _ = _look(
                    planes, tint, kind, opacity, texture, uv, corners, normals,
                    texels, levels, counts, lights, face,
                    (column * samples + x / times + 0.5 - half) / focal,
                    (row * samples + y / times + 0.5 - half) / focal,
                    pixel,
                )  # fmt: skip
                red, green, blue = red + r * times, green + g * times, blue + b * times
                left -= times
                for i in range(samples):
                    for j in range(samples):
                        if own[i * samples + j] == face:
                            own[i * samples + j] = -1
                            if keep:
                                at_row, at_column = row * samples + i, column * samples + j
                                layers[at_row, at_column, 0] = r
                                layers[at_row, at_column, 1] = g
                                layers[at_row, at_column, 2] = b
                                layers[at_row, at_column, 3] = 1.0
            rgba[row, column, 0] = int(red / seen + 0.5)
            rgba[row, column, 1] = int(green / seen + 0.5)
            rgba[row, column, 2] = int(blue / seen + 0.5)
            rgba[row, column, 3] = int(255 * seen / count + 0.5)


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _covers(a, b, c, x, y):  # type: ignore[no-untyped-def]
    """Whether a ray is inside an edge, which belongs to one of its faces: one pane, one layer."""
    side = a * x + b * y + c
    return side > 0.0 or (side == 0.0 and (a > 0.0 or (a == 0.0 and b > 0.0)))


@njit(cache=True, nogil=True, error_model="numpy", **_UNCOUNTED)
def blend(  # type: ignore[no-untyped-def]
    points, faces, tint, kind, opacity, texture, uv, corners, normals, texels, levels, counts,
    lights, focal, near, samples, order, inverse, layers,
):  # fmt: skip
    """Lay half transparent faces over the samples behind them.

    Args:
        points: (V, 5) from `to_camera`.
        faces: (F, 3) int64.
        tint: the arrays of a `Paint`, from here on: one by one, because numba counts references to
            those that come in a tuple, at every pixel.
        kind: (F*,).
        opacity: (F*,).
        texture: (F*,).
        uv: (F*, 3, 2).
        corners: (F*, 3, 3).
        normals: (F*, 3, 3).
        texels: (T, 4), the arrays of its atlas.
        levels: (N, L, 3).
        counts: (N,).
        lights: as for `shade`.
        focal: distance of the picture from the camera, in samples.
        near: smallest depth that is drawn.
        samples: samples along the side of a pixel.
        order: (B,) int64 the faces to lay over, farthest first.
        inverse: (W, W) 1 / depth of what is solid.
        layers: (W, W, 4) from `shade`, changed in place.
    """
    size = layers.shape[0]
    shift = size / 2 - 0.5
    pixel = samples / focal
    for face in order:
        i, j, k = faces[face, 0], faces[face, 1], faces[face, 2]
        left, right, top, bottom = box_of(points, i, j, k, float(size), near)
        if not (left <= right and top <= bottom):
            continue
        planes = planes_of(points, i, j, k)
        if planes[12] == 0.0:
            continue
        crossing = min(points[i, 2], points[j, 2], points[k, 2]) <= near
        highest = 1.0 / near if crossing else math.inf
        first, last = float(math.ceil(left - 0.5)), min(math.floor(right - 0.5), size - 1.0)
        a, da, is_a = passing(planes[0], planes[1], planes[2], focal, shift)
        b, db, is_b = passing(planes[3], planes[4], planes[5], focal, shift)
        c, dc, is_c = passing(planes[6], planes[7], planes[8], focal, shift)
        for row in range(math.ceil(top - 0.5), min(math.floor(bottom - 0.5), size - 1) + 1):
            y = (row - shift) / focal
            low, high = span_of(a, da, is_a, b, db, is_b, c, dc, is_c, y, first, last)
            if not low <= high:
                continue
            for column in range(math.ceil(low), math.floor(high) + 1):
                x = (column - shift) / focal
                w = planes[9] * x + planes[10] * y + planes[11]
                if w <= inverse[row, column] or w >= highest:
                    continue
                if not (
                    _covers(planes[0], planes[1], planes[2], x, y)
                    and _covers(planes[3], planes[4], planes[5], x, y)
                    and _covers(planes[6], planes[7], planes[8], x, y)
                ):
                    continue
                red, green, blue, alpha = _look(
                    planes, tint, kind, opacity, texture, uv, corners, normals,
                    texels, levels, counts, lights, face, x, y, pixel,
                )  # fmt: skip
                rest = 1.0 - alpha
                layers[row, column, 0] = rest * layers[row, column, 0] + alpha * red
                layers[row, column, 1] = rest * layers[row, column, 1] + alpha * green
                layers[row, column, 2] = rest * layers[row, column, 2] + alpha * blue
                layers[row, column, 3] = rest * layers[row, column, 3] + alpha


@njit(cache=True, nogil=True, error_model="numpy")
def resolve(layers, samples, rgba):  # type: ignore[no-untyped-def]
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


@njit(cache=True, nogil=True, error_model="numpy", **_UNCOUNTED)
def invert(inverse, depth):  # type: ignore[no-untyped-def]
    """Turn (S, S) 1 / depth, 0 where nothing is, into float32 depth, infinite where nothing is."""
    for row in range(depth.shape[0]):
        for column in range(depth.shape[1]):
            at = inverse[row, column]
            depth[row, column] = 1.0 / at if at > 0.0 else math.inf
