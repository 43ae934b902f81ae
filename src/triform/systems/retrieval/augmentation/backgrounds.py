"""Random backgrounds for training: checks, stripes, dots, gradients and smooth noise."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

_CHECKS, _STRIPES, _DOTS, _GRADIENT, _KINDS = 0, 1, 2, 3, 6  # the other two are noise


def random_backgrounds(count: int, size: int, generator: torch.Generator) -> Tensor:
    """(count, 3, size, size) float32 in [0, 1], of random kind, colours, angle and period."""

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, 1, 1, generator=generator)

    position = torch.linspace(-1, 1, size)
    colors = torch.rand(count, 2, 3, 1, 1, generator=generator)
    angle, period = uniform(0, math.pi), uniform(math.log(0.1), math.log(0.7)).exp()
    u = position * angle.cos() + position[:, None] * angle.sin() + uniform(-1, 1)
    v = position[:, None] * angle.cos() - position * angle.sin() + uniform(-1, 1)
    column, row = torch.floor(u / period), torch.floor(v / period)
    distance = (u / period - column - 0.5) ** 2 + (v / period - row - 0.5) ** 2
    kind = torch.randint(0, _KINDS, (count, 1, 1), generator=generator)
    blend = torch.zeros(count, size, size)
    for index, mask in (
        (_CHECKS, torch.remainder(column + row, 2)),
        (_STRIPES, torch.remainder(column, 2)),
        (_DOTS, (distance < 0.09).float()),
        (_GRADIENT, (u + 2.4) / 4.8),
    ):
        blend = torch.where(kind == index, mask, blend)
    images = torch.lerp(colors[:, 0], colors[:, 1], blend[:, None])
    coarse = torch.randn(count, 3, 4, 4, generator=generator)
    fine = torch.randn(count, 3, 16, 16, generator=generator)
    noise = 0.35 * F.interpolate(coarse, size=size, mode="bilinear")
    noise = noise + 0.15 * F.interpolate(fine, size=size, mode="bilinear")
    return (images + torch.where((kind > _GRADIENT)[:, None], noise, 0.0)).clamp(0, 1)
