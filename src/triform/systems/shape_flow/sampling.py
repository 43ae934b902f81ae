"""Sampling of latents: a layout first, then the cells around it."""

from __future__ import annotations

import torch
from torch import Tensor

from triform.layers.rectified_flow import guided, integrate
from triform.systems.shape_flow.condition import Condition
from triform.systems.shape_flow.flow import CellFlow
from triform.systems.shape_flow.layout import Layout, LayoutFlow

GUIDANCE_INTERVAL = (0.1, 0.9)


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
