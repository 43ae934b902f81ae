"""Textures in one long row of texels, each with smaller and smaller copies against aliasing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64, UInt8
from numba import njit
from PIL import Image

# The largest copy that is kept. Nothing finer can be seen in a picture of common size.
LARGEST_SIDE = 1024
# Long footprints (floors seen at a flat angle) are looked at in up to so many places.
_MOST_PROBES = 4


class Atlas(NamedTuple):
    """Textures for the kernels.

    Attributes:
        texels: (T, 4) uint8 sRGB, multiplied by their alpha.
        levels: (N, L, 3) place of the first texel, height and width of every copy, large to small.
        counts: (N,) how many copies there are.
    """

    texels: UInt8[np.ndarray, "t 4"]
    levels: Int64[np.ndarray, "n l 3"]
    counts: Int64[np.ndarray, " n"]


def build_atlas(textures: Sequence[np.ndarray], largest: int = LARGEST_SIDE) -> Atlas:
    """Pack (H, W, 3) and (H, W, 4) uint8 textures."""
    rows, table, place = [np.zeros((0, 4), np.uint8)], [], 0
    for texture in textures:
        own = []
        for copy in _copies(texture, largest):
            own.append((place, *copy.shape[:2]))
            rows.append(copy.reshape(-1, 4))
            place += len(rows[-1])
        table.append(own)
    counts = np.array([len(own) for own in table], dtype=np.int64)
    levels = np.zeros((len(table), max(map(len, table), default=1), 3), dtype=np.int64)
    for index, own in enumerate(table):
        levels[index, : len(own)] = own
    return Atlas(np.concatenate(rows), levels, counts)


def _copies(texture: np.ndarray, largest: int) -> list[np.ndarray]:
    """Return copies of a texture, each half as large as the one before, down to one texel."""
    height, width = texture.shape[:2]
    solid = np.full((height, width, 4), 255, dtype=np.uint8)
    solid[..., : texture.shape[2]] = texture
    if texture.shape[2] == 4 and texture[..., 3].min() < 255:
        alpha = texture[..., 3:].astype(np.uint16)
        solid[..., :3] = (texture[..., :3] * alpha + 127) // 255
    # RGBX: four channels that Pillow treats alike.
    picture = Image.frombytes("RGBX", (width, height), solid.tobytes())
    while max(picture.size) > largest:
        picture = _halved(picture)
    copies = [picture]
    while max(copies[-1].size) > 1:
        copies.append(_halved(copies[-1]))
    return [np.asarray(copy) for copy in copies]


def _halved(picture: Image.Image) -> Image.Image:
    size = (max(1, picture.width // 2), max(1, picture.height // 2))
    return picture.resize(size, Image.Resampling.BOX)


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def corners_at(levels, texture, level, u, v, inside):  # type: ignore[no-untyped-def]
    """The four texels around a place, and how far it lies towards the right and the lower ones.

    `inside` says that a face keeps to the texture, whose far edge must then not shine in.
    """
    place, height, width = (
        levels[texture, level, 0],
        levels[texture, level, 1],
        levels[texture, level, 2],
    )
    u, v = u - math.floor(u) if not inside else u, v - math.floor(v) if not inside else v
    x, y = u * width - 0.5, (1.0 - v) * height - 0.5
    # Holds for NaN as well, which comes from faces seen on edge.
    x = x if -0.5 <= x <= width - 0.5 else (-0.5 if not x > 0.0 else width - 0.5)
    y = y if -0.5 <= y <= height - 0.5 else (-0.5 if not y > 0.0 else height - 0.5)
    column, row = math.floor(x), math.floor(y)
    right, low = x - column, y - row
    next_column, next_row = column + 1, row + 1
    if column < 0:
        column = 0 if inside else width - 1
    if row < 0:
        row = 0 if inside else height - 1
    if next_column >= width:
        next_column = width - 1 if inside else 0
    if next_row >= height:
        next_row = height - 1 if inside else 0
    top, bottom = place + row * width, place + next_row * width
    return top + column, top + next_column, bottom + column, bottom + next_column, right, low


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def alpha_at(texels, levels, texture, level, u, v, inside):  # type: ignore[no-untyped-def]
    """The opacity, 0 to 1, at one place of a copy."""
    p, q, r, s, right, low = corners_at(levels, texture, level, u, v, inside)
    top = texels[p, 3] * (1.0 - right) + texels[q, 3] * right
    bottom = texels[r, 3] * (1.0 - right) + texels[s, 3] * right
    return (top * (1.0 - low) + bottom * low) / 255


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def level_of(width, count):  # type: ignore[no-untyped-def]
    """The copy, of so many, in which a footprint so many texels wide is about one texel wide."""
    if not width > 1.0:
        return 0
    return min(int(math.log2(min(width, 65536.0)) + 0.5), count - 1)


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def filtered(texels, levels, counts, texture, u, v, u1, v1, u2, v2, inside):  # type: ignore[no-untyped-def]
    """Red, green, blue (times alpha) and alpha, in 0 to 255, over a pixel's footprint.

    (u1, v1) and (u2, v2) are the coordinates at the next pixels, to the right and below.
    """
    height, width = levels[texture, 0, 1], levels[texture, 0, 2]
    u1, v1, u2, v2 = u1 - u, v1 - v, u2 - u, v2 - v
    u1_wide, v1_high, u2_wide, v2_high = u1 * width, v1 * height, u2 * width, v2 * height
    long = math.sqrt(u1_wide * u1_wide + v1_high * v1_high)
    short = math.sqrt(u2_wide * u2_wide + v2_high * v2_high)
    if short > long:
        long, short, u1, v1 = short, long, u2, v2
    probes = 1
    if long > 1.5:
        probes = _MOST_PROBES if long >= _MOST_PROBES * short else math.ceil(long / short)
    level = level_of(long / probes, counts[texture])
    red, green, blue, alpha = 0.0, 0.0, 0.0, 0.0
    for probe in range(probes):
        away = (probe + 0.5) / probes - 0.5
        p, q, r, s, right, low = corners_at(
            levels, texture, level, u + away * u1, v + away * v1, inside
        )
        a, b = (1.0 - right) * (1.0 - low), right * (1.0 - low)
        c, d = (1.0 - right) * low, right * low
        red += a * texels[p, 0] + b * texels[q, 0] + c * texels[r, 0] + d * texels[s, 0]
        green += a * texels[p, 1] + b * texels[q, 1] + c * texels[r, 1] + d * texels[s, 1]
        blue += a * texels[p, 2] + b * texels[q, 2] + c * texels[r, 2] + d * texels[s, 2]
        alpha += a * texels[p, 3] + b * texels[q, 3] + c * texels[r, 3] + d * texels[s, 3]
    return red / probes, green / probes, blue / probes, alpha / probes
