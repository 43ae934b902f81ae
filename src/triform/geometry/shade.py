"""The colour of every pixel, once the nearest faces are known."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from triform.geometry.raster import (
    box_of,
    corners_of,
    is_inside,
    narrowed,
    place_on,
    planes_of,
)
from triform.geometry.texels import filtered

_MOST_SAMPLES = 64


@njit(cache=True, nogil=True)
def _look(points, faces, paint, lights, face, x, y, pixel):  # type: ignore[no-untyped-def]
    """Colour (0 to 255) and opacity of a face where the ray (x, y, 1) meets it.

    `pixel` is the step of x and y to the next pixel, `lights` see `shade`.
    """
    p, q, r = corners_of(points, faces, face)
    a, b, c, n, volume = planes_of(p, q, r)
    e0 = a[0] * x + a[1] * y + a[2]
    e1 = b[0] * x + b[1] * y + b[2]
    e2 = c[0] * x + c[1] * y + c[2]
    total = e0 + e1 + e2
    if total != 0.0:
        e0, e1, e2 = e0 / total, e1 / total, e2 / total
    red, green, blue = (
        float(paint.tint[face, 0]),
        float(paint.tint[face, 1]),
        float(paint.tint[face, 2]),
    )
    alpha = 1.0
    if paint.kind.shape[0] > 0 and paint.kind[face] == 2:
        alpha = float(paint.opacity[face])
    if paint.corners.shape[0] > 0:
        k = paint.corners
        red *= (e0 * k[face, 0, 0] + e1 * k[face, 1, 0] + e2 * k[face, 2, 0]) / 255
        green *= (e0 * k[face, 0, 1] + e1 * k[face, 1, 1] + e2 * k[face, 2, 1]) / 255
        blue *= (e0 * k[face, 0, 2] + e1 * k[face, 1, 2] + e2 * k[face, 2, 2]) / 255
    if paint.texture.shape[0] > 0 and paint.texture[face] >= 0:
        u, v = place_on(paint, face, a, b, c, x, y)
        u1, v1 = place_on(paint, face, a, b, c, x + pixel, y)
        u2, v2 = place_on(paint, face, a, b, c, x, y + pixel)
        t_red, t_green, t_blue, t_alpha = filtered(
            paint.atlas, paint.texture[face], u, v, (u1 - u, v1 - v), (u2 - u, v2 - v),
            is_inside(paint, face),
        )  # fmt: skip
        if t_alpha > 0.0:
            red, green, blue = (
                red * t_red / t_alpha,
                green * t_green / t_alpha,
                blue * t_blue / t_alpha,
            )
        if paint.kind.shape[0] > 0 and paint.kind[face] == 2:
            alpha *= t_alpha / 255
    strength = 1.0
    if lights.shape[0] > 0:
        if paint.normals.shape[0] > 0:
            m = paint.normals
            nx = e0 * m[face, 0, 0] + e1 * m[face, 1, 0] + e2 * m[face, 2, 0]
            ny = e0 * m[face, 0, 1] + e1 * m[face, 1, 1] + e2 * m[face, 2, 1]
            nz = e0 * m[face, 0, 2] + e1 * m[face, 1, 2] + e2 * m[face, 2, 2]
            # Into the camera's axes, and to the side that is seen.
            side = 1.0 if volume < 0.0 else -1.0
            t = lights
            nx, ny, nz = (
                side * (t[2, 0] * nx + t[2, 1] * ny + t[2, 2] * nz),
                side * (t[3, 0] * nx + t[3, 1] * ny + t[3, 2] * nz),
                side * (t[4, 0] * nx + t[4, 1] * ny + t[4, 2] * nz),
            )
        else:
            # 1 / depth grows away from the camera along the normal that looks at it.
            nx, ny, nz = -n[0], -n[1], -n[2]
        length = math.sqrt(nx * nx + ny * ny + nz * nz)
        if length > 0.0:
            strength = lights[5, 0]
            for light in range(2):
                towards = (
                    lights[light, 0] * nx + lights[light, 1] * ny + lights[light, 2] * nz
                ) / length
                strength += max(towards, 0.0)
    return (
        min(red * strength, 255.0),
        min(green * strength, 255.0),
        min(blue * strength, 255.0),
        alpha,
    )


@njit(cache=True, nogil=True)
def shade(points, faces, paint, lights, focal, samples, nearest, rgba, layers):  # type: ignore[no-untyped-def]
    """Colour the pixels by the faces at their samples; every face is looked at once per pixel.

    Args:
        points: (V, 3) float64 in the camera's axes.
        faces: (F, 3) int64.
        paint: a `Paint`.
        lights: (6, 3) two directions to lights times their strength, in the camera's axes; the
            camera's axes in rows; ambient light. Without rows for the plain colours.
        focal: distance of the picture from the camera, in samples.
        samples: samples along the side of a pixel.
        nearest: (W, W) int32 from `rasterize`.
        rgba: (S, S, 4) uint8 to fill, with straight alpha.
        layers: (W, W, 4) float32 to fill instead, multiplied by alpha, where something will be
            blended over it; else (0, 0, 4).
    """
    size = rgba.shape[0]
    half = size * samples / 2
    count = samples * samples
    done = np.zeros(_MOST_SAMPLES, np.bool_)
    pixel = samples / focal
    keep = layers.shape[0] > 0
    for row in range(size):
        for column in range(size):
            red, green, blue, covered = 0.0, 0.0, 0.0, 0
            for i in range(count):
                done[i] = False
            for i in range(count):
                top, left = row * samples + i // samples, column * samples + i % samples
                face = nearest[top, left]
                if face < 0:
                    if keep:
                        layers[top, left, :] = 0.0
                    continue
                if done[i]:
                    continue
                x, y, times = 0.0, 0.0, 0
                for j in range(i, count):
                    at_row, at_column = (
                        row * samples + j // samples,
                        column * samples + j % samples,
                    )
                    if nearest[at_row, at_column] == face:
                        done[j] = True
                        x, y, times = x + at_column, y + at_row, times + 1
                x = (x / times + 0.5 - half) / focal
                y = (y / times + 0.5 - half) / focal
                r, g, b, _ = _look(points, faces, paint, lights, face, x, y, pixel)
                red, green, blue = red + r * times, green + g * times, blue + b * times
                covered += times
                if keep:
                    for j in range(i, count):
                        at_row, at_column = (
                            row * samples + j // samples,
                            column * samples + j % samples,
                        )
                        if nearest[at_row, at_column] == face:
                            layers[at_row, at_column, 0] = r
                            layers[at_row, at_column, 1] = g
                            layers[at_row, at_column, 2] = b
                            layers[at_row, at_column, 3] = 1.0
            if covered > 0:
                rgba[row, column, 0] = int(red / covered + 0.5)
                rgba[row, column, 1] = int(green / covered + 0.5)
                rgba[row, column, 2] = int(blue / covered + 0.5)
                rgba[row, column, 3] = int(255 * covered / count + 0.5)
            else:
                rgba[row, column, :] = 0


@njit(cache=True, nogil=True)
def blend(points, faces, paint, lights, focal, near, samples, order, inverse, layers):  # type: ignore[no-untyped-def]
    """Lay half transparent faces over the samples behind them.

    Args:
        order: (B,) int64 the faces, farthest first.
        inverse: (W, W) 1 / depth of what is solid.
        layers: (W, W, 4) from `shade`, changed in place.
        points, faces, paint, lights, focal, near, samples: as for `rasterize` and `shade`.
    """
    last = layers.shape[0] - 1
    half = layers.shape[0] / 2
    pixel = samples / focal
    for face in order:
        p, q, r = corners_of(points, faces, face)
        left, right, top, bottom = box_of(p, q, r, focal, half, near)
        if left > right or top > bottom:
            continue
        a, b, c, n, volume = planes_of(p, q, r)
        if volume == 0.0:
            continue
        highest = 1.0 / near if min(p[2], q[2], r[2]) <= near else np.inf
        first = float(max(int(math.ceil(left - 0.5)), 0))
        final = float(min(int(math.floor(right - 0.5)), last))
        first_row = max(int(math.ceil(top - 0.5)), 0)
        for row in range(first_row, min(int(math.floor(bottom - 0.5)), last) + 1):
            y = (row + 0.5 - half) / focal
            low, high = narrowed(a, y, focal, half - 0.5, first, final)
            low, high = narrowed(b, y, focal, half - 0.5, low, high)
            low, high = narrowed(c, y, focal, half - 0.5, low, high)
            if low > high:
                continue
            for column in range(int(math.ceil(low)), int(math.floor(high)) + 1):
                x = (column + 0.5 - half) / focal
                w = n[0] * x + n[1] * y + n[2]
                if w <= inverse[row, column] or w >= highest:
                    continue
                red, green, blue, alpha = _look(points, faces, paint, lights, face, x, y, pixel)
                rest = 1.0 - alpha
                under = layers[row, column]
                under[0] = rest * under[0] + alpha * red
                under[1] = rest * under[1] + alpha * green
                under[2] = rest * under[2] + alpha * blue
                under[3] = rest * under[3] + alpha


@njit(cache=True, nogil=True)
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
            rgba[row, column, :] = 0
            if alpha > 0.0:
                rgba[row, column, 0] = min(int(red / alpha + 0.5), 255)
                rgba[row, column, 1] = min(int(green / alpha + 0.5), 255)
                rgba[row, column, 2] = min(int(blue / alpha + 0.5), 255)
                rgba[row, column, 3] = int(255 * alpha / (samples * samples) + 0.5)
