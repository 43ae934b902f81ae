"""A text-conditioned prior over the latent: rectified flow from noise to the encoder's latents.

Flow matching: arXiv:2209.03003 (rectified flow) and arXiv:2210.02747; classifier-free guidance:
arXiv:2207.12598. The latent is one vector, so the network is a small residual MLP.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from triform.layers.rectified_flow import time_embedding
from triform.systems.voxel_gan.config import ModelConfig

EMBED_DIM, TIME_DIM = 256, 64


class FlowBlock(nn.Module):
    """Residual MLP block with adaptive layer norm by time and text (arXiv:2212.09748)."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = nn.Linear(EMBED_DIM, 3 * width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width),
            nn.SiLU(),
            nn.Identity(),  # the weights that ship have the number of the layer behind it
            nn.Linear(2 * width, width),
        )
        nn.init.zeros_(self.modulation.weight)  # gate 0: the block starts as the identity
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        scale, shift, gate = self.modulation(embedding).chunk(3, dim=1)
        output: Tensor = x + gate * self.mlp(self.norm(x) * (1 + scale) + shift)
        return output


class FlowPrior(nn.Module):
    """Velocity field v(x_t, t, cond) over normalized latents, and its sampler.

    `x_t = (1 - t) * noise + t * x_1`, velocity `x_1 - noise`. A condition of zeros means no text.
    Mean and standard deviation of the latents are buffers; the flow works on normalized latents.
    """

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(self, model: ModelConfig):
        super().__init__()
        latent_dim, width = model.latent_dim, model.prior_width
        self.time_text_embed = nn.Sequential(
            nn.Linear(TIME_DIM + model.cond_dim, EMBED_DIM),
            nn.SiLU(),
            nn.Linear(EMBED_DIM, EMBED_DIM),
            nn.SiLU(),
        )
        self.proj_in = nn.Linear(latent_dim, width)
        self.blocks = nn.ModuleList(FlowBlock(width) for _ in range(model.prior_layers))
        self.norm = nn.LayerNorm(width)
        self.proj_out = nn.Linear(width, latent_dim)
        self.register_buffer("latent_mean", torch.zeros(latent_dim))
        self.register_buffer("latent_std", torch.ones(latent_dim))

    def forward(self, x_t: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        # The unit vector cond is scaled to unit variance in each dimension.
        cond = cond * math.sqrt(cond.shape[1])
        embedding = self.time_text_embed(torch.cat([time_embedding(t, TIME_DIM), cond], dim=1))
        h = self.proj_in(x_t)
        for block in self.blocks:
            h = block(h, embedding)
        velocity: Tensor = self.proj_out(F.silu(self.norm(h)))
        return velocity

    def normalize(self, z: Tensor) -> Tensor:
        return (z - self.latent_mean) / self.latent_std

    @torch.no_grad()
    def update_latent_statistics(self, z: Tensor, momentum: float = 0.01) -> None:
        """Update the moving mean and standard deviation by those of a batch of latents (B, z)."""
        self.latent_mean.lerp_(z.mean(0), momentum)
        std = (z - self.latent_mean).square().mean(0).sqrt()
        self.latent_std.lerp_(std.clamp(min=1e-3), momentum)

    @torch.no_grad()
    def sample(
        self, cond: Tensor, noise: Tensor, *, num_steps: int = 32, guidance_scale: float = 2.0
    ) -> Tensor:
        """Noise (B, z) and conditions (B, c) to latents (B, z), by Heun's method.

        `guidance_scale` 1 is the conditional velocity; larger values follow the text more closely.
        """
        unconditional = torch.zeros_like(cond)

        def velocity(x: Tensor, t: float) -> Tensor:
            times = torch.full((len(x),), t, device=x.device)
            v: Tensor = self(x, times, cond)
            if guidance_scale == 1:
                return v
            v_uncond: Tensor = self(x, times, unconditional)
            return v_uncond + guidance_scale * (v - v_uncond)

        x, step = noise, 1 / num_steps
        for i in range(num_steps):
            v = velocity(x, i * step)
            v_next = velocity(x + step * v, (i + 1) * step)
            x = x + step * (v + v_next) / 2
        return x * self.latent_std + self.latent_mean
