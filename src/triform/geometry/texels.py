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


@njit(cache=True, nogil=True)
def bilinear(atlas, texture, level, u, v, inside):  # type: ignore[no-untyped-def]
    """Return red, green, blue (times alpha) and alpha, in 0 to 255, at one place of a copy.

    `inside` says that a face keeps to the texture, whose far edge must then not shine in.
    """
    place, height, width = atlas.levels[texture, level]
    if inside:
        u, v = min(max(u, 0.0), 1.0), min(max(v, 0.0), 1.0)
    else:
        u, v = u - math.floor(u), v - math.floor(v)
    x, y = u * width - 0.5, (1.0 - v) * height - 0.5
    left, top = math.floor(x), math.floor(y)
    right_share, low_share = x - left, y - top
    column, row = int(left), int(top)
    next_column, next_row = column + 1, row + 1
    if inside:
        column, row = max(column, 0), max(row, 0)
        next_column, next_row = min(next_column, width - 1), min(next_row, height - 1)
    else:
        column, row = column % width, row % height
        next_column, next_row = next_column % width, next_row % height
    texels = atlas.texels
    p, q = place + row * width + column, place + row * width + next_column
    r, s = place + next_row * width + column, place + next_row * width + next_column
    a, b = (1 - right_share) * (1 - low_share), right_share * (1 - low_share)
    c, d = (1 - right_share) * low_share, right_share * low_share
    return (
        a * texels[p, 0] + b * texels[q, 0] + c * texels[r, 0] + d * texels[s, 0],
        a * texels[p, 1] + b * texels[q, 1] + c * texels[r, 1] + d * texels[s, 1],
        a * texels[p, 2] + b * texels[q, 2] + c * texels[r, 2] + d * texels[s, 2],
        a * texels[p, 3] + b * texels[q, 3] + c * texels[r, 3] + d * texels[s, 3],
    )


@njit(cache=True, nogil=True)
def level_of(atlas, texture, texels):  # type: ignore[no-untyped-def]
    """Return the copy in which so many texels of the largest one become about one."""
    last = atlas.counts[texture] - 1
    # Not true of NaN, which comes from faces seen on edge.
    if not texels > 1.0:
        return 0
    if texels > 65536.0:
        return last
    return min(int(math.log2(texels) + 0.5), last)


@njit(cache=True, nogil=True)
def filtered(atlas, texture, u, v, across, down, inside):  # type: ignore[no-untyped-def]
    """Return red, green, blue (times alpha) and alpha, in 0 to 255, over a pixel's footprint.

    `across` and `down` are the (u, v) steps to the next pixels.
    """
    height, width = atlas.levels[texture, 0, 1], atlas.levels[texture, 0, 2]
    long = math.hypot(across[0] * width, across[1] * height)
    short = math.hypot(down[0] * width, down[1] * height)
    step = across
    if short > long:
        long, short, step = short, long, down
    probes = 1
    if long > 1.5:
        probes = _MOST_PROBES if long >= _MOST_PROBES * short else int(math.ceil(long / short))
    level = level_of(atlas, texture, long / probes)
    red, green, blue, alpha = 0.0, 0.0, 0.0, 0.0
    for probe in range(probes):
        shift = (probe + 0.5) / probes - 0.5
        r, g, b, a = bilinear(
            atlas, texture, level, u + shift * step[0], v + shift * step[1], inside
        )
        red, green, blue, alpha = red + r, green + g, blue + b, alpha + a
    return red / probes, green / probes, blue / probes, alpha / probes
