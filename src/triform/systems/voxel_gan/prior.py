"""A text-conditioned prior over the latent: rectified flow from noise to the encoder's codes.

Flow matching: arXiv:2209.03003 (rectified flow) and arXiv:2210.02747; classifier-free guidance:
arXiv:2207.12598. The latent is one vector, so the network is a small residual MLP.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def time_embedding(t: Tensor, dim: int) -> Tensor:
    """Times (B,) in [0, 1] to sinusoidal features (B, dim), as in arXiv:1706.03762 section 3.5."""
    half = dim // 2
    frequencies = torch.exp(-math.log(10_000) * torch.arange(half, device=t.device) / half)
    angles = 1000 * t[:, None] * frequencies[None, :]
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class FlowBlock(nn.Module):
    """Residual MLP block whose scale, shift and gate come from time and text (arXiv:2212.09748)."""

    def __init__(self, width: int, style_dim: int, dropout_rate: float):
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.style = nn.Linear(style_dim, 3 * width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width),
            nn.SiLU(),
            nn.Dropout(dropout_rate),
            nn.Linear(2 * width, width),
        )
        nn.init.zeros_(self.style.weight)  # gate 0: the block starts as the identity
        nn.init.zeros_(self.style.bias)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        scale, shift, gate = self.style(style).chunk(3, dim=1)
        return x + gate * self.mlp(self.norm(x) * (1 + scale) + shift)


class FlowPrior(nn.Module):
    """Velocity field v(x_t, t, cond) over normalized latents, and its sampler.

    `x_t = (1 - t) * noise + t * x_1`, velocity `x_1 - noise`. A condition of zeros means no text.
    The codes' mean and standard deviation are kept as buffers, so that the flow sees unit scale.
    """

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(
        self,
        *,
        latent_dim: int,
        cond_dim: int,
        width: int = 256,
        num_layers: int = 3,
        dropout_rate: float = 0.0,
    ):
        super().__init__()
        style_dim = 256
        self.latent_dim = latent_dim
        self.time_dim = 64
        self.to_style = nn.Sequential(
            nn.Linear(self.time_dim + cond_dim, style_dim),
            nn.SiLU(),
            nn.Linear(style_dim, style_dim),
            nn.SiLU(),
        )
        self.start = nn.Linear(latent_dim, width)
        self.blocks = nn.ModuleList(
            FlowBlock(width, style_dim, dropout_rate) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(width)
        self.end = nn.Linear(width, latent_dim)
        self.register_buffer("latent_mean", torch.zeros(latent_dim))
        self.register_buffer("latent_std", torch.ones(latent_dim))

    def forward(self, x_t: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        # cond is a unit vector of a few hundred dimensions: scaled to unit variance per dimension
        cond = cond * math.sqrt(cond.shape[1])
        style = self.to_style(torch.cat([time_embedding(t, self.time_dim), cond], dim=1))
        h = self.start(x_t)
        for block in self.blocks:
            h = block(h, style)
        return self.end(F.silu(self.norm(h)))

    def normalize(self, z: Tensor) -> Tensor:
        return (z - self.latent_mean) / self.latent_std

    @torch.no_grad()
    def track_scale(self, z: Tensor, momentum: float = 0.01) -> None:
        """Move the kept mean and deviation towards those of a batch of codes (B, z)."""
        self.latent_mean.lerp_(z.mean(0), momentum)
        deviation = (z - self.latent_mean).square().mean(0).sqrt()
        self.latent_std.lerp_(deviation.clamp(min=1e-3), momentum)

    @torch.no_grad()
    def sample(
        self, cond: Tensor, noise: Tensor, *, num_steps: int = 32, guidance_scale: float = 2.0
    ) -> Tensor:
        """Noise (B, z) and conditions (B, c) to latents (B, z), by Heun's method.

        `guidance_scale` 1 follows the text as learned, larger values follow it harder.
        """
        null = torch.zeros_like(cond)

        def velocity(x: Tensor, t: float) -> Tensor:
            times = torch.full((len(x),), t, device=x.device)
            v = self(x, times, cond)
            if guidance_scale == 1:
                return v
            v_null = self(x, times, null)
            return v_null + guidance_scale * (v - v_null)

        x, step = noise, 1 / num_steps
        for i in range(num_steps):
            v = velocity(x, i * step)
            v_next = velocity(x + step * v, (i + 1) * step)
            x = x + step * (v + v_next) / 2
        return x * self.latent_std + self.latent_mean
