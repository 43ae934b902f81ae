"""The chain from picture to noise: q(x_t | x_0), and what a network may say about it.

Ho et al., arXiv:2006.11239, section 2: x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) e, where a_t is the
product of 1 - beta up to step t. Cosine schedule: Nichol and Dhariwal, arXiv:2102.09672, section
3.2. Velocity: Salimans and Ho, arXiv:2202.00512, appendix D.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

LARGEST_BETA = 0.999
OFFSET = 0.008


def linear_betas(timesteps: int, start: float, end: float) -> Tensor:
    """Variances (T,) that grow evenly; start and end are meant for 1000 steps."""
    scale = 1000 / timesteps  # the same total noise in fewer or more steps
    betas = torch.linspace(start * scale, end * scale, timesteps, dtype=torch.float64)
    return betas.clamp(max=LARGEST_BETA)


def cosine_betas(timesteps: int) -> Tensor:
    """Variances (T,) of the squared cosine."""
    t = torch.arange(timesteps + 1, dtype=torch.float64) / timesteps
    kept = torch.cos((t + OFFSET) / (1 + OFFSET) * math.pi / 2) ** 2
    return (1 - kept[1:] / kept[:-1]).clamp(max=LARGEST_BETA)


class NoiseChain:
    """T steps of noise; t = 0 is nearly the picture, t = T - 1 nearly noise.

    Attributes:
        kept: (T,) float64, share a_t of the picture's variance that is left after step t.

    Args:
        betas: (T,) float64 variances.
        objective: what the network says.
    """

    def __init__(self, betas: Tensor, objective: Literal["epsilon", "x0", "v"]):
        self.betas, self.objective = betas, objective
        self.kept = torch.cumprod(1 - betas, 0)

    def __len__(self) -> int:
        return len(self.betas)

    def scales(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """What picture and noise are multiplied by at steps t (B,), to be broadcast over `like`."""
        kept = self.kept.to(t.device)[t].view(-1, *[1] * (like.ndim - 1))
        return kept.sqrt().to(like.dtype), (1 - kept).sqrt().to(like.dtype)

    def add_noise(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """x_t of pictures (B, ...) at steps t (B,): `q_sample` of the paper."""
        signal, spread = self.scales(t, x_0)
        return signal * x_0 + spread * noise

    def target(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """What the network should say."""
        if self.objective == "epsilon":
            return noise
        if self.objective == "x0":
            return x_0
        signal, spread = self.scales(t, x_0)
        return signal * noise - spread * x_0

    def picture(self, said: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """The picture x_0 in what the network said about x_t, within [-1, 1]."""
        signal, spread = self.scales(t, x_t)
        if self.objective == "epsilon":
            x_0 = (x_t - spread * said) / signal
        elif self.objective == "x0":
            x_0 = said
        else:
            x_0 = signal * x_t - spread * said
        return x_0.clamp(-1, 1)
