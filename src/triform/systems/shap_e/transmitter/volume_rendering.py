"""Images of a latent by volume rendering of its radiance field (NeRF, arXiv:2003.08934)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from triform.systems.shap_e.transmitter.decoder import Decoder

EPSILON = 1e-6
MIN_RANGE = 1e-3
IMPORTANCE_FLOOR = 1e-5
RAYS_AT_A_TIME = 1024
COARSE, FINE = 0, 1


@dataclass
class Samples:
    """Samples along rays: distances (B, N, S), densities (B, N, S) and colours (B, N, S, 3)."""

    distance: Tensor
    density: Tensor
    colors: Tensor


def box_range(origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where rays (B, N, 3) enter and leave the box [-1, 1]^3, and whether they meet it (B, N)."""
    safe = torch.where(directions < 0, directions - EPSILON, directions + EPSILON)
    ends = torch.stack([(-1 - origins) / safe, (1 - origins) / safe])
    start = ends.min(0).values.max(-1).values.clamp(min=0)
    end = ends.max(0).values.min(-1).values
    meets = start + MIN_RANGE < end
    return (
        torch.where(meets, start, torch.zeros_like(start)),
        torch.where(meets, end, torch.ones_like(end)),
        meets,
    )


def render_rays(
    decoder: Decoder,
    weights: list[Tensor],
    origins: Tensor,
    directions: Tensor,
    random: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Colours and transmittances of rays: coarse samples, then fine ones where matter is.

    Args:
        decoder: The decoder.
        weights: Generated weights of B latents.
        origins: (B, N, 3).
        directions: Unit vectors (B, N, 3).
        random: Random numbers of the samples, on the CPU.

    Returns:
        Colours (B, N, 3) in [0, 1] on white, and transmittances (B, N).
    """
    config = decoder.config
    start, end, meets = box_range(origins, directions)
    distance = stratified(start, end, config.coarse_samples, random)
    coarse = _query(decoder, weights, origins, directions, distance, COARSE)
    weight, _ = integration_weights(coarse, start, end)
    distance = important(distance, weight, start, end, config.fine_samples, random)
    fine = _query(decoder, weights, origins, directions, distance, FINE)
    merged = _merge(fine, coarse)
    weight, transmittance = integration_weights(merged, start, end)
    colors = (weight[..., None] * merged.colors).sum(-2)
    transmittance = torch.where(meets, transmittance, torch.ones_like(transmittance))
    colors = torch.where(meets[..., None], colors, torch.zeros_like(colors))
    return colors + transmittance[..., None], transmittance


def partition(distance: Tensor, start: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    """Bounds of the intervals around samples (B, N, S)."""
    middle = (distance[..., 1:] + distance[..., :-1]) / 2
    low = torch.cat([start[..., None], middle], -1)
    return low, torch.cat([middle, end[..., None]], -1)


def stratified(start: Tensor, end: Tensor, count: int, random: torch.Generator) -> Tensor:
    """A random distance in each of `count` intervals: (B, N, count)."""
    steps = torch.linspace(0, 1, count, device=start.device)
    distance = start[..., None] * (1 - steps) + end[..., None] * steps
    low, high = partition(distance, start, end)
    return low + (high - low) * torch.rand(distance.shape, generator=random).to(distance.device)


def important(
    distance: Tensor,
    weight: Tensor,
    start: Tensor,
    end: Tensor,
    count: int,
    random: torch.Generator,
) -> Tensor:
    """Random distances (B, N, count), more of them in intervals of large weight (B, N, S)."""
    low, high = partition(distance, start, end)
    share = weight + IMPORTANCE_FLOOR
    share = share / share.sum(-1, keepdim=True)
    flat = share.flatten(0, -2).cumsum(-1)
    draws = torch.rand(len(flat), count, generator=random).to(flat.device)
    index = torch.searchsorted(flat, draws).clamp(max=share.shape[-1] - 1)
    index = index.view(*share.shape[:-1], count)
    inside = torch.rand(index.shape, generator=random).to(low.device)
    low, high = low.gather(-1, index), high.gather(-1, index)
    return (low + (high - low) * inside).sort(-1).values


def integration_weights(samples: Samples, start: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    """Weights (B, N, S) of samples in an image, and transmittances (B, N)."""
    low, high = partition(samples.distance, start, end)
    mass = samples.density * (high - low)
    total = mass.cumsum(-1)
    before = torch.cat([torch.zeros_like(total[..., :1]), total[..., :-1]], -1)
    return (1 - torch.exp(-mass)) * torch.exp(-before), torch.exp(-total[..., -1])


def _query(
    decoder: Decoder,
    weights: list[Tensor],
    origins: Tensor,
    directions: Tensor,
    distance: Tensor,
    level: int,
) -> Samples:
    positions = origins[..., None, :] + distance[..., None] * directions[..., None, :]
    values = decoder.query(weights, positions.flatten(1, 2))
    shape = distance.shape[1:]
    return Samples(
        distance,
        values.density[..., level].unflatten(1, shape),
        values.nerf_colors[..., level, :].unflatten(1, shape),
    )


def _merge(first: Samples, second: Samples) -> Samples:
    """Samples of both, in the order of their distances."""
    distance, order = torch.cat([first.distance, second.distance], -1).sort(-1)
    density = torch.cat([first.density, second.density], -1).gather(-1, order)
    colors = torch.cat([first.colors, second.colors], -2)
    return Samples(distance, density, colors.gather(-2, order[..., None].expand_as(colors)))
