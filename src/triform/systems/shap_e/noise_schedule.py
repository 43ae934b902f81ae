"""The diffusion process of Shap-E: its constants, noising, and the posterior of one step."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from triform.systems.shap_e.config import DiffusionConfig

MAX_BETA = 0.999


class NoiseSchedule:
    """Constants of a diffusion process, in float64 (arXiv:2006.11239, arXiv:2102.09672).

    Attributes:
        alphas_cumprod: Share of the signal's variance after each step (T,).
        log_betas: Upper bound of the posterior's log variance (T,).
        posterior_log_variance: Lower bound of it (T,).
    """

    def __init__(self, config: DiffusionConfig):
        betas = make_betas(config)
        alphas = 1 - betas
        self.mean_type = config.mean_type
        self.alphas_cumprod = np.cumprod(alphas)
        before = np.append(1.0, self.alphas_cumprod[:-1])
        variance = betas * (1 - before) / (1 - self.alphas_cumprod)
        # The variance of the first step is 0; Shap-E takes that of the second.
        self.posterior_log_variance = np.log(np.append(variance[1], variance[1:]))
        self.log_betas = np.log(betas)
        self._x0_weight = betas * np.sqrt(before) / (1 - self.alphas_cumprod)
        self._xt_weight = (1 - before) * np.sqrt(alphas) / (1 - self.alphas_cumprod)

    def __len__(self) -> int:
        return len(self.alphas_cumprod)

    def add_noise(self, x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """Latents (B, ...) at steps (B,)."""
        return (
            at(np.sqrt(self.alphas_cumprod), t, x0) * x0
            + at(np.sqrt(1 - self.alphas_cumprod), t, x0) * noise
        )

    def predict_x0(self, prediction: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """Clean latents by the network's prediction."""
        if self.mean_type == "x_start":
            return prediction
        signal = at(np.sqrt(1 / self.alphas_cumprod), t, x_t)
        return signal * x_t - at(np.sqrt(1 / self.alphas_cumprod - 1), t, x_t) * prediction

    def posterior_mean(self, x0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """Mean of the previous step."""
        return at(self._x0_weight, t, x0) * x0 + at(self._xt_weight, t, x_t) * x_t

    def log_variance(self, values: Tensor, t: Tensor) -> Tensor:
        """Log variance between the bounds, from the network's values in [-1, 1]."""
        low, high = at(self.posterior_log_variance, t, values), at(self.log_betas, t, values)
        share = (values + 1) / 2
        return share * high + (1 - share) * low

    def step_of(self, sigma: float) -> int:
        """The step whose ratio of noise to signal is `sigma`, as Shap-E's samplers round it."""
        share = 1 / (sigma**2 + 1)
        if share > self.alphas_cumprod[0]:
            return 0
        if share <= self.alphas_cumprod[-1]:
            return len(self) - 1
        steps = np.arange(len(self))
        return int(np.interp(share, self.alphas_cumprod[::-1], steps[::-1]))


def make_betas(config: DiffusionConfig) -> np.ndarray:
    """Variances of the noise of each step (T,) float64."""
    count = config.timesteps
    if config.schedule == "linear":
        scale = 1000 / count
        return np.linspace(scale * 0.0001, scale * 0.02, count)
    if config.schedule == "cosine":
        return _betas(count, lambda t: math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2)
    return _betas(count, lambda t: math.exp(t * config.coefficient))


def _betas(count: int, alpha_bar: Callable[[float], float]) -> np.ndarray:
    ratios = [alpha_bar((step + 1) / count) / alpha_bar(step / count) for step in range(count)]
    return np.asarray(np.minimum(1 - np.array(ratios), MAX_BETA))


def at(values: np.ndarray, t: Tensor, like: Tensor) -> Tensor:
    """Values (T,) at steps (B,), float32 (B, 1, ...) for a tensor (B, ...)."""
    picked = torch.from_numpy(values).to(t.device)[t].float()
    return picked.view(-1, *[1] * (like.ndim - 1))
