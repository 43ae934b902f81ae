"""Random backgrounds to train on: checks, stripes, dots, ramps and clouds of colour."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

_CHECKS, _STRIPES, _DOTS, _RAMP, _KINDS = 0, 1, 2, 3, 6  # the other two are clouds


def random_backgrounds(count: int, size: int, generator: torch.Generator) -> Tensor:
    """(count, 3, size, size) float32 in [0, 1], each of another kind, colour, turn and period."""

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, 1, 1, generator=generator)

    at = torch.linspace(-1, 1, size)
    colors = torch.rand(count, 2, 3, 1, 1, generator=generator)
    turn, period = uniform(0, math.pi), uniform(math.log(0.1), math.log(0.7)).exp()
    u = at * turn.cos() + at[:, None] * turn.sin() + uniform(-1, 1)
    v = at[:, None] * turn.cos() - at * turn.sin() + uniform(-1, 1)
    column, row = torch.floor(u / period), torch.floor(v / period)
    distance = (u / period - column - 0.5) ** 2 + (v / period - row - 0.5) ** 2
    kind = torch.randint(0, _KINDS, (count, 1, 1), generator=generator)
    second = torch.zeros(count, size, size)
    for number, mask in (
        (_CHECKS, torch.remainder(column + row, 2)),
        (_STRIPES, torch.remainder(column, 2)),
        (_DOTS, (distance < 0.09).float()),
        (_RAMP, (u + 2.4) / 4.8),
    ):
        second = torch.where(kind == number, mask, second)
    pictures = torch.lerp(colors[:, 0], colors[:, 1], second[:, None])
    coarse = torch.randn(count, 3, 4, 4, generator=generator)
    fine = torch.randn(count, 3, 16, 16, generator=generator)
    clouds = 0.35 * F.interpolate(coarse, size=size, mode="bilinear")
    clouds = clouds + 0.15 * F.interpolate(fine, size=size, mode="bilinear")
    return (pictures + torch.where((kind > _RAMP)[:, None], clouds, 0.0)).clamp(0, 1)
