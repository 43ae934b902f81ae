"""Heun's sampler over Karras' noise levels (arXiv:2206.00364), as Shap-E samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from torch import Tensor

from triform.systems.shap_e.noise_schedule import NoiseSchedule

Network = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Noisy latents, steps and conditions to the output of the network."""


def karras_sigmas(steps: int, sigma_min: float, sigma_max: float, rho: float = 7.0) -> Tensor:
    """Noise levels (steps + 1,), falling to 0."""
    ramp = torch.linspace(0, 1, steps)
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return torch.cat([(high + ramp * (low - high)) ** rho, torch.zeros(1)])


class Denoiser:
    """Predicts clean latents at a noise level, with classifier-free guidance.

    Args:
        network: Of the prior.
        schedule: The diffusion process that it was trained with.
        cond: Conditions (B, ...).
        guidance_scale: 1 or 0 is none; the null condition is zeros.
        clip: Cut predictions off at -1 and 1, before guidance.
    """

    def __init__(
        self,
        network: Network,
        schedule: NoiseSchedule,
        cond: Tensor,
        guidance_scale: float,
        *,
        clip: bool = True,
    ):
        self.network, self.schedule, self.clip = network, schedule, clip
        self.is_guided = guidance_scale not in (0.0, 1.0)
        self.guidance_scale = guidance_scale
        self.cond = torch.cat([cond, torch.zeros_like(cond)]) if self.is_guided else cond

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Clean latents (B, V, W) of noisy ones at a noise level, a scalar."""
        if self.is_guided:
            x = torch.cat([x, x])
        step = self.schedule.step_of(float(sigma))
        t = torch.full((len(x),), step, dtype=torch.long, device=x.device)
        scaled = x / (sigma**2 + 1) ** 0.5
        prediction = self.network(scaled, t, self.cond).float().chunk(2, dim=-1)[0]
        x0 = self.schedule.predict_x0(prediction, scaled, t)
        x0 = x0.clamp(-1, 1) if self.clip else x0
        if not self.is_guided:
            return x0
        conditional, unconditional = x0.chunk(2)
        return unconditional + self.guidance_scale * (conditional - unconditional)


@torch.no_grad()
def sample_heun(
    denoiser: Callable[[Tensor, Tensor], Tensor], x: Tensor, sigmas: Tensor
) -> Iterator[Tensor]:
    """Sample; yields the latents after each step, the last are the samples.

    Args:
        denoiser: Noisy latents and noise level to clean latents.
        x: Noise (B, V, W) of standard deviation `sigmas[0]`.
        sigmas: Noise levels (steps + 1,), falling to 0.
    """
    sigmas = sigmas.to(x.device)
    for sigma, following in pairwise(sigmas):
        slope = (x - denoiser(x, sigma)) / sigma
        difference = following - sigma
        if following == 0:
            x = x + slope * difference
        else:
            predicted = x + slope * difference
            slope_2 = (predicted - denoiser(predicted, following)) / following
            x = x + (slope + slope_2) / 2 * difference
        yield x
