"""Pictures with transparency to what the picture encoder sees: plain, or changed for training.

Training changes them as a user's pictures differ from rendered views: part of the object is cut
off, the camera is rolled, the cut is loose, the light is another, the background is anything, and
the picture is blurred, compressed, grey or noisy. Everything runs on the whole batch at once.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from triform.systems.retrieval.backgrounds import random_backgrounds
from triform.systems.retrieval.degrade import blur, compress

# Shares of the pictures that each change happens to.
CROPPED, ROLLED, PATTERNED, COLORED = 0.25, 0.4, 0.4, 0.3
BLURRED, COMPRESSED, GREY, NOISY = 0.2, 0.2, 0.2, 0.2
# Largest part that is cut off, and largest roll in radians.
CROP, ROLL = 0.42, 0.75
_MARGIN = 1.04
# Side of the coarse grid on which the object's outline is looked for.
_COARSE = 24
_SEEN = 0.03


def augment_pictures(rgba: Tensor, generator: torch.Generator, *, strength: float = 1.0) -> Tensor:
    """Change framed pictures for training.

    Args:
        rgba: (N, 4, S, S) uint8, straight alpha.
        generator: All that is random comes from it.
        strength: Factor of the shares of pictures that are cut, rolled, patterned or degraded.

    Returns:
        (N, 3, S, S) float32 in [0, 1].
    """
    count, size = len(rgba), rgba.shape[-1]

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=generator)

    def some(share: float) -> Tensor:
        return torch.rand(count, generator=generator) < share * strength

    pictures = _cut(_premultiplied(rgba), some(CROPPED), generator)
    patterned = some(PATTERNED)
    # On a pattern nobody can tell where the object ends: the cut is loose.
    loose = torch.where(patterned, 2.0, 1.0)
    roll = torch.where(some(ROLLED), uniform(-ROLL, ROLL), uniform(-0.06, 0.06))
    zoom = torch.where(patterned, uniform(-0.12, 0.3), uniform(-0.06, 0.1)).exp() * _MARGIN
    shift = uniform(-0.06, 0.06, 2) * loose[:, None]
    stretch = uniform(-0.05, 0.05, 2).exp()
    pictures = _reframe(pictures, roll, zoom, shift, stretch)
    color, alpha = pictures[:, :3], pictures[:, 3:]
    color = _relight((color / alpha.clamp(min=1e-3)).clamp(0, 1), generator)

    background = torch.ones(count, 3, size, size)
    colored = some(COLORED) & ~patterned
    plain = torch.rand(count, 3, 1, 1, generator=generator).expand_as(background)
    background[colored] = plain[colored]
    background[patterned] = random_backgrounds(int(patterned.sum()), size, generator)
    result = color * alpha + background * (1 - alpha)

    chosen = some(BLURRED)
    result[chosen] = blur(result[chosen], uniform(0.4, 1.8)[chosen] * size / 64)
    chosen = some(COMPRESSED)
    result[chosen] = compress(result[chosen], uniform(-1.2, 1.0)[chosen].exp())
    chosen = some(GREY)
    result[chosen] = result[chosen].mean(1, keepdim=True)
    chosen = some(NOISY)
    noise = torch.randn(int(chosen.sum()), 3, size, size, generator=generator)
    result[chosen] = result[chosen] + 0.04 * noise
    return result.clamp(0, 1)


def plain_pictures(rgba: Tensor) -> Tensor:
    """(N, 4, S, S) uint8 to (N, 3, S, S) float32 in [0, 1], on white."""
    values = _premultiplied(rgba)
    return values[:, :3] + 1 - values[:, 3:]


def _premultiplied(rgba: Tensor) -> Tensor:
    values = rgba.float() / 255
    return torch.cat([values[:, :3] * values[:, 3:], values[:, 3:]], 1)


def _cut(pictures: Tensor, chosen: Tensor, generator: torch.Generator) -> Tensor:
    """Make one side of the object transparent, as if the picture ended there."""
    count, size = len(pictures), pictures.shape[-1]
    side = torch.randint(0, 4, (count,), generator=generator)
    part = 0.1 + (CROP - 0.1) * torch.rand(count, generator=generator)
    part = torch.where(chosen, part, 0.0)
    seen = pictures[:, 3] > _SEEN
    place = torch.arange(size)
    keep = []
    for axis, (first, second) in enumerate([(0, 1), (2, 3)]):  # columns, then rows
        occupied = seen.any(1 + axis)
        start = torch.where(occupied, place, size).amin(1)
        end = torch.where(occupied, place, -1).amax(1) + 1
        length = (end - start) * part
        start = start + torch.where(side == first, length, 0)
        end = end - torch.where(side == second, length, 0)
        keep.append((place >= start[:, None]) & (place < end[:, None]))
    columns, rows = keep
    return pictures * (columns[:, None, None, :] & rows[:, None, :, None])


def _reframe(
    pictures: Tensor, roll: Tensor, zoom: Tensor, shift: Tensor, stretch: Tensor
) -> Tensor:
    """Roll pictures and cut them to their object again.

    Args:
        pictures: (N, 4, S, S), colours multiplied by alpha.
        roll: (N,) radians.
        zoom: (N,) side of the cut over that of the object.
        shift: (N, 2) of the cut, in halves of its side.
        stretch: (N, 2) of the cut.
    """
    count, size = len(pictures), pictures.shape[-1]
    outline = F.adaptive_max_pool2d(pictures[:, 3:], _COARSE).flatten(1)[..., None] > _SEEN
    points = _grid(_COARSE).flatten(0, 1)
    turn = torch.stack([roll.cos(), -roll.sin(), roll.sin(), roll.cos()], 1).view(count, 2, 2)
    turned = points @ turn.transpose(1, 2)
    low = torch.where(outline, turned, math.inf).amin(1) - 1 / _COARSE
    high = torch.where(outline, turned, -math.inf).amax(1) + 1 / _COARSE
    empty = ~outline.any(1)  # (N, 1): nothing to cut to
    low, high = torch.where(empty, -1.0, low), torch.where(empty, 1.0, high)
    half = ((high - low) / 2).amax(1) * zoom
    grid = _grid(size) * stretch[:, None, None] + shift[:, None, None]
    grid = grid * half[:, None, None, None] + ((low + high) / 2)[:, None, None]
    grid = (grid.flatten(1, 2) @ turn).view(count, size, size, 2)
    return F.grid_sample(pictures, grid, align_corners=False)


def _grid(size: int) -> Tensor:
    """Middles of pixels (size, size, 2) as x, y in [-1, 1]."""
    at = (torch.arange(size) + 0.5) * 2 / size - 1
    y, x = torch.meshgrid(at, at, indexing="ij")
    return torch.stack([x, y], -1)


def _relight(colors: Tensor, generator: torch.Generator) -> Tensor:
    """Another exposure, white balance and contrast, and light that falls from one side."""
    count, size = len(colors), colors.shape[-1]

    def normal(*shape: int) -> Tensor:
        return torch.randn(count, *shape, generator=generator)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, 1, 1, 1, generator=generator)

    gain = uniform(-0.35, 0.65) + 0.06 * normal(3, 1, 1)
    slope = 0.12 * normal(2, 1, 1)
    at = torch.linspace(-1, 1, size)
    gain = gain + slope[:, :1] * at + slope[:, 1:] * at[:, None]
    return (colors * gain.exp()).clamp(1e-3, 1) ** uniform(-0.35, 0.25).exp()
