"""Losses of the latent diffusion, and of encoder and decoder."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from triform.systems.shap_e.noise_schedule import NoiseSchedule


def diffusion_loss(
    schedule: NoiseSchedule, output: Tensor, x0: Tensor, x_t: Tensor, t: Tensor, noise: Tensor
) -> dict[str, Tensor]:
    """Squared error of the prediction, and variational bound of its variance.

    The bound trains the variance alone: the prediction in it is detached.

    Args:
        schedule: The diffusion process.
        output: Of the network (B, V, 2 W): prediction and variance.
        x0: Latents (B, V, W) in [-1, 1].
        x_t: Noisy latents (B, V, W).
        t: Steps (B,).
        noise: The noise in them (B, V, W).

    Returns:
        `loss` = `mse` + `vb`, each (B,); the bound in bits per number.
    """
    prediction, variance = output.float().chunk(2, dim=-1)
    target = x0 if schedule.mean_type == "x_start" else noise
    mse = (target - prediction).square().flatten(1).mean(1)
    vb = variational_bound(schedule, prediction.detach(), variance, x0, x_t, t)
    return {"loss": mse + vb, "mse": mse, "vb": vb}


def variational_bound(
    schedule: NoiseSchedule,
    prediction: Tensor,
    variance: Tensor,
    x0: Tensor,
    x_t: Tensor,
    t: Tensor,
) -> Tensor:
    """KL divergence of the predicted from the true posterior (B,), in bits per number.

    That of the first step is 0: Shap-E's latents have no discrete likelihood.
    """
    true_mean = schedule.posterior_mean(x0, x_t, t)
    mean = schedule.posterior_mean(schedule.predict_x0(prediction, x_t, t), x_t, t)
    log_variance = schedule.log_variance(variance, t)
    true_log_variance = schedule.log_variance(torch.full_like(variance, -1.0), t)
    kl = normal_kl(true_mean, true_log_variance, mean, log_variance).flatten(1).mean(1)
    return torch.where(t == 0, torch.zeros_like(kl), kl / math.log(2))


def normal_kl(mean: Tensor, log_variance: Tensor, mean_2: Tensor, log_variance_2: Tensor) -> Tensor:
    """KL divergence of two normal distributions, in nats."""
    return 0.5 * (
        log_variance_2
        - log_variance
        - 1
        + torch.exp(log_variance - log_variance_2)
        + (mean - mean_2).square() * torch.exp(-log_variance_2)
    )


NEAR_WEIGHT = 4.0
LOGIT_SCALE = 10.0
"""Of the cross-entropy of the sign: tanh saturates at 1, logits should not."""


def field_loss(field: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Error of a decoded field, weighted towards the surface, and cross-entropy of its sign.

    Args:
        field: (B, N) in [-1, 1], positive inside.
        target: Signed distance (B, N), cut off and scaled to [-1, 1], positive inside.

    Returns:
        `distance` and `sign`, scalars.
    """
    weight = 1 + NEAR_WEIGHT * torch.exp(-target.abs() / 0.25)
    distance = ((field - target).abs() * weight).mean()
    sign = F.binary_cross_entropy_with_logits(LOGIT_SCALE * field, (target > 0).float())
    return {"distance": distance, "sign": sign}


def color_loss(colors: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error of sRGB colours (B, N, 3) in [0, 1]."""
    return (colors - target).abs().mean()
