"""Mipmapped textures in one flat array of texels, and texture sampling for the kernels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64, UInt8
from PIL import Image

from triform.base.compiled import njit

# Side of the finest mip level; finer texels are invisible in images of common size.
MAX_TEXTURE_SIZE = 1024
# Most samples along the footprint of a pixel (floors seen at a grazing angle).
MAX_ANISOTROPY = 4


class Atlas(NamedTuple):
    """Mipmapped textures in arrays that the kernels read.

    Attributes:
        texels: (T, 4) uint8 sRGB, multiplied by their alpha.
        levels: (N, L, 3) offset of the first texel, height and width of a level, fine to coarse.
        counts: (N,) number of mip levels.
    """

    texels: UInt8[np.ndarray, "t 4"]
    levels: Int64[np.ndarray, "n l 3"]
    counts: Int64[np.ndarray, " n"]


def build_atlas(textures: Sequence[np.ndarray], max_size: int = MAX_TEXTURE_SIZE) -> Atlas:
    """Pack (H, W, 3) and (H, W, 4) uint8 textures with their mip levels."""
    rows, table, offset = [np.zeros((0, 4), np.uint8)], [], 0
    for texture in textures:
        levels_of_texture = []
        for level in _mip_chain(texture, max_size):
            levels_of_texture.append((offset, *level.shape[:2]))
            rows.append(level.reshape(-1, 4))
            offset += len(rows[-1])
        table.append(levels_of_texture)
    counts = np.array([len(levels_of_texture) for levels_of_texture in table], dtype=np.int64)
    levels = np.zeros((len(table), max(map(len, table), default=1), 3), dtype=np.int64)
    for index, levels_of_texture in enumerate(table):
        levels[index, : len(levels_of_texture)] = levels_of_texture
    return Atlas(np.concatenate(rows), levels, counts)


def _mip_chain(texture: np.ndarray, max_size: int) -> list[np.ndarray]:
    """Return the mip levels of a texture, each half the size of the one before, down to 1x1."""
    height, width = texture.shape[:2]
    rgba = np.full((height, width, 4), 255, dtype=np.uint8)
    rgba[..., : texture.shape[2]] = texture
    if texture.shape[2] == 4 and texture[..., 3].min() < 255:
        alpha = texture[..., 3:].astype(np.uint16)
        rgba[..., :3] = (texture[..., :3] * alpha + 127) // 255
    # RGBX: Pillow filters its four channels independently.
    image = Image.frombytes("RGBX", (width, height), rgba.tobytes())
    while max(image.size) > max_size:
        image = _downsample(image)
    chain = [image]
    while max(chain[-1].size) > 1:
        chain.append(_downsample(chain[-1]))
    return [np.asarray(level) for level in chain]


def _downsample(image: Image.Image) -> Image.Image:
    size = (max(1, image.width // 2), max(1, image.height // 2))
    return image.resize(size, Image.Resampling.BOX)


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def bilinear_taps(atlas, texture, level, u, v, clamp):  # type: ignore[no-untyped-def]
    """Four texels for bilinear interpolation, and the weights of the right and the lower ones.

    `clamp` clamps to the edge of the texture; otherwise it repeats.
    """
    offset, height, width = (
        atlas.levels[texture, level, 0],
        atlas.levels[texture, level, 1],
        atlas.levels[texture, level, 2],
    )
    u, v = u - math.floor(u) if not clamp else u, v - math.floor(v) if not clamp else v
    x, y = u * width - 0.5, (1.0 - v) * height - 0.5
    # Written so that NaN, which comes from faces seen on edge, ends in the texture as well.
    x = x if -0.5 <= x <= width - 0.5 else (-0.5 if not x > 0.0 else width - 0.5)
    y = y if -0.5 <= y <= height - 0.5 else (-0.5 if not y > 0.0 else height - 0.5)
    column, row = math.floor(x), math.floor(y)
    right, below = x - column, y - row
    next_column, next_row = column + 1, row + 1
    if column < 0:
        column = 0 if clamp else width - 1
    if row < 0:
        row = 0 if clamp else height - 1
    if next_column >= width:
        next_column = width - 1 if clamp else 0
    if next_row >= height:
        next_row = height - 1 if clamp else 0
    top, bottom = offset + row * width, offset + next_row * width
    return top + column, top + next_column, bottom + column, bottom + next_column, right, below


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def sample_alpha(atlas, texture, level, u, v, clamp):  # type: ignore[no-untyped-def]
    """Bilinear sample of alpha at one mip level, 0 to 1."""
    p, q, r, s, right, below = bilinear_taps(atlas, texture, level, u, v, clamp)
    top = atlas.texels[p, 3] * (1.0 - right) + atlas.texels[q, 3] * right
    bottom = atlas.texels[r, 3] * (1.0 - right) + atlas.texels[s, 3] * right
    return (top * (1.0 - below) + bottom * below) / 255


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def mip_level(width, count):  # type: ignore[no-untyped-def]
    """Mip level in which a footprint `width` texels wide is about one texel wide."""
    if not width > 1.0:
        return 0
    return min(int(math.log2(min(width, 65536.0)) + 0.5), count - 1)


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def sample_filtered(atlas, texture, u, v, u1, v1, u2, v2, clamp):  # type: ignore[no-untyped-def]
    """Anisotropic sample of premultiplied RGB and alpha, 0 to 255, over a pixel's footprint.

    (u1, v1) and (u2, v2) are the texture coordinates at the next pixels, to the right and below.
    """
    height, width = atlas.levels[texture, 0, 1], atlas.levels[texture, 0, 2]
    u1, v1, u2, v2 = u1 - u, v1 - v, u2 - u, v2 - v
    u1_texels, v1_texels, u2_texels, v2_texels = u1 * width, v1 * height, u2 * width, v2 * height
    major = math.sqrt(u1_texels * u1_texels + v1_texels * v1_texels)
    minor = math.sqrt(u2_texels * u2_texels + v2_texels * v2_texels)
    if minor > major:
        major, minor, u1, v1 = minor, major, u2, v2
    num_probes = 1
    if major > 1.5:
        num_probes = MAX_ANISOTROPY if major >= MAX_ANISOTROPY * minor else math.ceil(major / minor)
    level = mip_level(major / num_probes, atlas.counts[texture])
    red, green, blue, alpha = 0.0, 0.0, 0.0, 0.0
    for probe in range(num_probes):
        probe_offset = (probe + 0.5) / num_probes - 0.5
        p, q, r, s, right, below = bilinear_taps(
            atlas, texture, level, u + probe_offset * u1, v + probe_offset * v1, clamp
        )
        a, b = (1.0 - right) * (1.0 - below), right * (1.0 - below)
        c, d = (1.0 - right) * below, right * below
        red += _mix(atlas.texels, 0, p, q, r, s, a, b, c, d)
        green += _mix(atlas.texels, 1, p, q, r, s, a, b, c, d)
        blue += _mix(atlas.texels, 2, p, q, r, s, a, b, c, d)
        alpha += _mix(atlas.texels, 3, p, q, r, s, a, b, c, d)
    return red / num_probes, green / num_probes, blue / num_probes, alpha / num_probes


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _mix(texels, channel, p, q, r, s, a, b, c, d):  # type: ignore[no-untyped-def]
    """Weighted sum of a channel of four texels."""
    return (
        a * texels[p, channel]
        + b * texels[q, channel]
        + c * texels[r, channel]
        + d * texels[s, channel]
    )
