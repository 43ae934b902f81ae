"""Rectified flows: embedding of the time, integration from noise to data, guidance.

Liu et al., arXiv:2209.03003: `x_t = (1 - t) * noise + t * data`, and the velocity is
`data - noise`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

Velocity = Callable[[Tensor, Tensor], Tensor]
"""From x_t (B, ...) and times (B,) to velocities (B, ...)."""


def time_embedding(t: Tensor, dim: int) -> Tensor:
    """Times (B,) in [0, 1] to sinusoidal features (B, dim), as in arXiv:1706.03762 section 3.5."""
    half = dim // 2
    frequencies = torch.exp(-math.log(10_000) * torch.arange(half, device=t.device) / half)
    angles = 1000 * t[:, None] * frequencies[None, :]
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def integrate(velocity: Velocity, noise: Tensor, num_steps: int, *, heun: bool = True) -> Tensor:
    """Follow a velocity from time 0 to 1.

    Args:
        velocity: The field.
        noise: (B, ...) at time 0.
        num_steps: Steps of equal length.
        heun: Heun's method, second order and two evaluations a step; otherwise Euler's.
    """
    x, step = noise, 1 / num_steps
    for i in range(num_steps):
        v = velocity(x, torch.full((len(x),), i * step, device=x.device))
        if heun and i + 1 < num_steps:
            t = torch.full((len(x),), (i + 1) * step, device=x.device)
            v = (v + velocity(x + step * v, t)) / 2
        x = x + step * v
    return x


def guided(
    both: Callable[[Tensor, Tensor], Tensor],
    conditional: Velocity,
    scale: float,
    interval: tuple[float, float],
) -> Velocity:
    """Classifier-free guidance (arXiv:2207.12598) in an interval of times (arXiv:2404.07724).

    Args:
        both: Velocities (2 B, ...) of doubled inputs: with the condition, then without.
        conditional: Velocities with the condition.
        scale: 1 is the conditional velocity, more follows the condition more closely.
        interval: First and last time at which guidance is used.
    """

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        if scale == 1 or not interval[0] <= float(t[0]) <= interval[1]:
            return conditional(x, t)
        with_condition, without = both(torch.cat([x, x]), torch.cat([t, t])).chunk(2)
        return without + scale * (with_condition - without)

    return velocity


def precondition(
    x_t: Tensor, t: Tensor, mean: Tensor, std: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """What is known of a velocity where data are nearly Gaussian around a known mean.

    The velocity that is optimal for Gaussian data is given in closed form, and inputs and outputs
    of the network that learns the rest are scaled, as in arXiv:2206.00364, section 5:
    `velocity = linear + scale * network(scaled)`.

    Args:
        x_t: (B, ...) between noise and data.
        t: Times (B,).
        mean: Means of the data (B, ...).
        std: Deviations from them, broadcast to (B, ...).

    Returns:
        `linear` and `scaled` (B, ...), and `scale`, broadcast to (B, ...).
    """
    t = t.reshape(-1, *[1] * (x_t.dim() - 1))
    noise, data = 1 - t, t * std
    total_std = (noise.square() + data.square()).sqrt()
    residual = x_t - t * mean
    linear = mean + (data * std - noise) / total_std.square() * residual
    return linear, residual / total_std, std / total_std
