"""Integration of a rectified flow from noise to data, with guidance in an interval of times."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from triform.systems.shape_flow.condition import Condition
from triform.systems.shape_flow.flow import CellFlow
from triform.systems.shape_flow.layout import Layout, LayoutFlow

GUIDANCE_INTERVAL = (0.1, 0.9)
Velocity = Callable[[Tensor, Tensor], Tensor]
"""From x_t (B, ...) and times (B,) to velocities (B, ...)."""


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


def sample_latents(
    layout: Layout,
    layout_flow: LayoutFlow,
    cell_flow: CellFlow | None,
    condition: Condition,
    code_noise: Tensor,
    cell_noise: Tensor,
    *,
    guidance: float,
    cell_guidance: float,
    num_steps: int,
    cell_steps: int,
) -> Tensor:
    """Latents (B, C, G, G, G): a layout first, then the cells around it."""
    doubled = condition.concatenate(condition.unknown())
    velocity = guided(
        lambda x, t: layout_flow(x, t, doubled),
        lambda x, t: layout_flow(x, t, condition),
        guidance,
        GUIDANCE_INTERVAL,
    )
    x = layout.decode(integrate(velocity, code_noise, num_steps))
    if cell_flow is not None:
        twice = torch.cat([x, x])
        velocity = guided(
            lambda r, t: cell_flow(r, t, twice, doubled),
            lambda r, t: cell_flow(r, t, x, condition),
            cell_guidance,
            GUIDANCE_INTERVAL,
        )
        x = x + integrate(velocity, cell_noise, cell_steps, heun=False) * layout.residual_std
    return layout.denormalize(x)
