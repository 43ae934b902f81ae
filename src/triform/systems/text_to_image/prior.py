"""Priors from a text embedding to a latent: a rectified flow, or a regression.

Rectified flow: arXiv:2209.03003; transformer with adaptive layer norms: arXiv:2212.09748; norms of
queries and keys: arXiv:2302.05442, section 2; classifier-free guidance: arXiv:2207.12598. A latent
cell is a token; the condition is one vector.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from triform.layers.rectified_flow import guided, integrate, time_embedding
from triform.systems.text_to_image.config import ModelConfig

TIME_DIM = 128
MLP_RATIO = 3


class SelfAttention(nn.Module):
    """Multi-head self-attention with normalized queries and keys, (B, N, D) to (B, N, D)."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.q_norm, self.k_norm = (nn.RMSNorm(width // heads) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        qkv = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        h = F.scaled_dot_product_attention(self.q_norm(q), self.k_norm(k), v)
        output: Tensor = self.proj(h.transpose(1, 2).flatten(2))
        return output


class Block(nn.Module):
    """Attention and MLP, each with a norm, scale, shift and gate by the condition."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(width, elementwise_affine=False) for _ in range(2))
        self.attention = SelfAttention(width, heads)
        self.mlp = nn.Sequential(
            nn.Linear(width, MLP_RATIO * width), nn.GELU(), nn.Linear(MLP_RATIO * width, width)
        )
        self.modulation = nn.Linear(width, 6 * width)
        nn.init.zeros_(self.modulation.weight)  # gates 0: the block starts as the identity
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        parts = self.modulation(condition)[:, None].chunk(6, dim=2)
        scale1, shift1, gate1, scale2, shift2, gate2 = parts
        x = x + gate1 * self.attention(self.norm1(x) * (1 + scale1) + shift1)
        output: Tensor = x + gate2 * self.mlp(self.norm2(x) * (1 + scale2) + shift2)
        return output


class FlowPrior(nn.Module):
    """Velocity field v(x_t, t, text) over normalized latents, and its sampler.

    `x_t = (1 - t) * noise + t * x_1`, velocity `x_1 - noise`. A text embedding of zeros means no
    text.

    Args:
        model: Sizes.
        cells: Cells along each side of a latent.
        text_dim: Width of a text embedding of length 1.
    """

    def __init__(self, model: ModelConfig, cells: int, text_dim: int):
        super().__init__()
        width = model.prior_width
        self.shape = (model.latent_channels, cells, cells)
        self.time_embed = nn.Sequential(nn.Linear(TIME_DIM, width), nn.SiLU())
        self.text_embed = nn.Sequential(nn.Linear(text_dim, width), nn.SiLU())
        self.condition = nn.Sequential(nn.Linear(2 * width, width), nn.SiLU())
        self.proj_in = nn.Linear(model.latent_channels, width)
        self.position_embedding = nn.Parameter(0.02 * torch.randn(cells * cells, width))
        self.blocks = nn.ModuleList(
            Block(width, model.prior_heads) for _ in range(model.prior_layers)
        )
        self.norm = nn.LayerNorm(width)
        self.proj_out = nn.Linear(width, model.latent_channels)
        nn.init.zeros_(self.proj_out.weight)
        nn.init.zeros_(self.proj_out.bias)

    def forward(self, x_t: Tensor, t: Tensor, text: Tensor) -> Tensor:
        """Velocities (B, L, H, W) at x_t (B, L, H, W), times (B,) and texts (B, D)."""
        # The unit vector is scaled to unit variance in each dimension.
        text = self.text_embed(text * math.sqrt(text.shape[1]))
        condition = self.condition(
            torch.cat([self.time_embed(time_embedding(t, TIME_DIM)), text], dim=1)
        )
        h = self.proj_in(x_t.flatten(2).transpose(1, 2)) + self.position_embedding
        for block in self.blocks:
            h = block(h, condition)
        velocity: Tensor = self.proj_out(self.norm(h)).transpose(1, 2).unflatten(2, self.shape[1:])
        return velocity

    @torch.no_grad()
    def sample(self, text: Tensor, noise: Tensor, *, steps: int, guidance: float) -> Tensor:
        """Noise (B, L, H, W) to normalized latents by Euler's method.

        Args:
            text: (B, D) embeddings of length 1.
            noise: Standard normal.
            steps: Steps of equal length.
            guidance: 1 is the conditional velocity; larger values follow the text more closely.
        """
        both = torch.cat([text, torch.zeros_like(text)])
        velocity = guided(
            lambda x, t: self(x, t, both), lambda x, t: self(x, t, text), guidance, (0.0, 1.0)
        )
        return integrate(velocity, noise, steps, heun=False)


class RegressionPrior(nn.Module):
    """Normalized latents (B, L, H, W) from text embeddings (B, D): their conditional mean."""

    def __init__(self, model: ModelConfig, cells: int, text_dim: int):
        super().__init__()
        self.shape = (model.latent_channels, cells, cells)
        width = 2 * model.prior_width
        self.layers = nn.Sequential(
            nn.Linear(text_dim, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, model.latent_channels * cells * cells),
        )

    def forward(self, text: Tensor) -> Tensor:
        output: Tensor = self.layers(text * math.sqrt(text.shape[1])).unflatten(1, self.shape)
        return output


Prior = FlowPrior | RegressionPrior


def build_prior(model: ModelConfig, cells: int, text_dim: int) -> Prior:
    """The prior that settings name."""
    kind = FlowPrior if model.prior == "flow" else RegressionPrior
    return kind(model, cells, text_dim)
