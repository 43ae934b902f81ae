"""Noise schedule of the diffusion process q(x_t | x_0), and parametrisations of its reverse.

Ho et al., arXiv:2006.11239, section 2: x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) e with a_t the
cumulative product of 1 - beta up to step t. Cosine schedule: Nichol and Dhariwal,
arXiv:2102.09672, section 3.2. Velocity: Salimans and Ho, arXiv:2202.00512, appendix D.
"""

import math

import torch
from torch import Tensor

from triform.systems.diffusion.config import ModelConfig, Objective

MAX_BETA = 0.999
COSINE_OFFSET = 0.008


def linear_betas(timesteps: int, start: float, end: float) -> Tensor:
    """Linear variance schedule (T,); start and end are meant for 1000 steps."""
    scale = 1000 / timesteps  # the same total noise in fewer or more steps
    betas = torch.linspace(start * scale, end * scale, timesteps, dtype=torch.float64)
    return betas.clamp(max=MAX_BETA)


def cosine_betas(timesteps: int) -> Tensor:
    """Variance schedule (T,) of the squared cosine."""
    t = torch.arange(timesteps + 1, dtype=torch.float64) / timesteps
    alphas_cumprod = torch.cos((t + COSINE_OFFSET) / (1 + COSINE_OFFSET) * math.pi / 2) ** 2
    return (1 - alphas_cumprod[1:] / alphas_cumprod[:-1]).clamp(max=MAX_BETA)


class NoiseSchedule:
    """Diffusion process of T steps: t = 0 is almost the image, t = T - 1 almost noise.

    Attributes:
        betas: (T,) float64 variances.
        alphas_cumprod: (T,) float64, a_t: share of the image's variance after step t.
        objective: What the network predicts.
    """

    def __init__(self, betas: Tensor, objective: Objective):
        self.betas, self.objective = betas, objective
        self.alphas_cumprod = torch.cumprod(1 - betas, 0)

    @classmethod
    def from_config(cls, model: ModelConfig) -> "NoiseSchedule":
        """The schedule of a configuration."""
        if model.beta_schedule == "cosine":
            return cls(cosine_betas(model.timesteps), model.objective)
        betas = linear_betas(model.timesteps, model.beta_start, model.beta_end)
        return cls(betas, model.objective)

    def __len__(self) -> int:
        return len(self.betas)

    def coefficients(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """sqrt(a_t) and sqrt(1 - a_t) of steps t (B,), to be broadcast over `like` (B, ...)."""
        alphas = self.alphas_cumprod.to(t.device)[t].view(-1, *[1] * (like.ndim - 1))
        return alphas.sqrt().to(like.dtype), (1 - alphas).sqrt().to(like.dtype)

    def add_noise(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """Sample x_t from q(x_t | x_0) of images (B, ...) at steps t (B,)."""
        signal, sigma = self.coefficients(t, x_0)
        return signal * x_0 + sigma * noise

    def target(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """Target of the network: noise, image or velocity."""
        if self.objective == "epsilon":
            return noise
        if self.objective == "x0":
            return x_0
        signal, sigma = self.coefficients(t, x_0)
        return signal * noise - sigma * x_0

    def predict_x0(self, prediction: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """The image x_0 that the network's prediction for x_t stands for, within [-1, 1]."""
        signal, sigma = self.coefficients(t, x_t)
        if self.objective == "epsilon":
            x_0 = (x_t - sigma * prediction) / signal
        elif self.objective == "x0":
            x_0 = prediction
        else:
            x_0 = signal * x_t - sigma * prediction
        return x_0.clamp(-1, 1)
