"""Samplers of the reverse process, with any number of steps: DDPM, DDIM and DPM-Solver++.

Each goes from step t to a lower step s; s = -1 is the image itself. All of them work on the
predicted image x_0, clipped to [-1, 1].
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from triform.systems.diffusion.config import Sampler
from triform.systems.diffusion.noise_schedule import NoiseSchedule

PredictX0 = Callable[[Tensor, Tensor], Tensor]
"""From x_t (B, ...) and t (B,) to the predicted image x_0."""


def sampling_timesteps(schedule: NoiseSchedule, sampler: Sampler, steps: int) -> list[int]:
    """Steps t of the sampler, descending; the one after the last is the image."""
    last = len(schedule) - 1
    if sampler == "dpm":  # the solver ends at the image itself, not at step 0
        return torch.linspace(0, last, steps + 1).round().long().flip(0)[:-1].tolist()
    return torch.linspace(0 if steps > 1 else last, last, steps).round().long().flip(0).tolist()


def sample(
    predict_x0: PredictX0,
    schedule: NoiseSchedule,
    x: Tensor,
    *,
    sampler: Sampler,
    steps: int,
    random: torch.Generator,
    eta: float = 0.0,
) -> Iterator[Tensor]:
    """Sample images from noise.

    Args:
        predict_x0: The network's prediction of the image.
        schedule: The noise schedule that it was trained with.
        x: Noise (B, ...).
        sampler: Kind of sampler.
        steps: Number of steps.
        random: Source of the noise of stochastic samplers.
        eta: Share of that noise (ddim); 1 is ancestral sampling.

    Yields:
        The predicted images after each step; the last are the samples.
    """
    timesteps = sampling_timesteps(schedule, sampler, steps)
    previous: tuple[Tensor, Tensor] | None = None
    for t, s in zip(timesteps, [*timesteps[1:], -1], strict=True):
        x_0 = predict_x0(x, torch.full((len(x),), t, device=x.device))
        if sampler == "dpm":
            x, previous = dpm_step(schedule, x, x_0, t, s, previous)
        else:
            # No noise is added in the step to the image itself.
            noise = torch.randn(x.shape, generator=random).to(x) if s >= 0 else torch.zeros_like(x)
            if sampler == "ddpm":
                x = ddpm_step(schedule, x, x_0, t, s, noise)
            else:
                x = ddim_step(schedule, x, x_0, t, s, noise, eta)
        yield x if s < 0 else x_0


def _alpha(schedule: NoiseSchedule, step: int) -> Tensor:
    """a_t of a step; 1 of the image itself (step -1)."""
    return schedule.alphas_cumprod[step] if step >= 0 else torch.ones((), dtype=torch.float64)


def ddpm_step(
    schedule: NoiseSchedule, x_t: Tensor, x_0: Tensor, t: int, s: int, noise: Tensor
) -> Tensor:
    """Sample from the posterior q(x_s | x_t, x_0) (arXiv:2006.11239, equations 6 and 7)."""
    a_t, a_s = _alpha(schedule, t), _alpha(schedule, s)
    alpha = a_t / a_s
    coef_x0 = a_s.sqrt() * (1 - alpha) / (1 - a_t)
    coef_xt = alpha.sqrt() * (1 - a_s) / (1 - a_t)
    sigma = ((1 - a_s) / (1 - a_t) * (1 - alpha)).sqrt()
    return float(coef_x0) * x_0 + float(coef_xt) * x_t + float(sigma) * noise


def ddim_step(
    schedule: NoiseSchedule, x_t: Tensor, x_0: Tensor, t: int, s: int, noise: Tensor, eta: float
) -> Tensor:
    """Deterministic step, or with the share eta of new noise (arXiv:2010.02502, equation 12)."""
    a_t, a_s = _alpha(schedule, t), _alpha(schedule, s)
    epsilon = (x_t - float(a_t.sqrt()) * x_0) / float((1 - a_t).sqrt())
    sigma = eta * ((1 - a_s) / (1 - a_t) * (1 - a_t / a_s)).sqrt()
    direction = (1 - a_s - sigma**2).clamp(min=0).sqrt()
    return float(a_s.sqrt()) * x_0 + float(direction) * epsilon + float(sigma) * noise


def dpm_step(
    schedule: NoiseSchedule,
    x_t: Tensor,
    x_0: Tensor,
    t: int,
    s: int,
    previous: tuple[Tensor, Tensor] | None,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Step of DPM-Solver++(2M), second order in log signal-to-noise (arXiv:2211.01095, alg. 2).

    Args:
        schedule: The noise schedule.
        x_t: The sample at step t.
        x_0: The predicted image.
        t: Present step.
        s: Next step; -1 returns the predicted image.
        previous: Predicted image and log signal-to-noise ratio of the step before.

    Returns:
        x_s, and `previous` of the next step.
    """
    a_t, a_s = _alpha(schedule, t), _alpha(schedule, s)
    lambda_t = ((a_t / (1 - a_t)).log() / 2).double()
    if s < 0:
        return x_0, (x_0, lambda_t)
    lambda_s = (a_s / (1 - a_s)).log() / 2
    h = lambda_s - lambda_t
    d = x_0
    if previous is not None:
        previous_x0, previous_lambda = previous
        r = float((lambda_t - previous_lambda) / h)
        d = (1 + 1 / (2 * r)) * x_0 - 1 / (2 * r) * previous_x0
    sigma_ratio = ((1 - a_s) / (1 - a_t)).sqrt()
    x_s = float(sigma_ratio) * x_t - float(a_s.sqrt() * torch.expm1(-h)) * d
    return x_s, (x_0, lambda_t)
