"""A rectified flow over the codes of layouts, around their mean for a condition.

The mean of all codes with a condition is a regression, learned within a few hundred steps. What is
optimal for codes that are Gaussian around it is added to the velocity in closed form, as
preconditioning (arXiv:2206.00364, section 5); residual MLP blocks learn the rest.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from triform.systems.shape_flow.condition import AttributeEmbedding, Condition, ConditionVector
from triform.systems.shape_flow.config import ModelConfig


class ConditionalMean(nn.Module):
    """Features (B, M) of conditions, and the mean (B, K) of the codes that have them."""

    def __init__(self, model: ModelConfig, sizes: tuple[int, ...], text_dim: int):
        super().__init__()
        width = model.mean_width
        self.attributes = AttributeEmbedding(sizes, model.attribute_dim)
        self.layers = nn.Sequential(
            nn.Linear(len(sizes) * model.attribute_dim + text_dim, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
        )
        self.proj_out = nn.Linear(width, model.layout_dim)
        nn.init.zeros_(self.proj_out.weight)
        nn.init.zeros_(self.proj_out.bias)
        self.scale = math.sqrt(text_dim)

    def forward(self, condition: Condition) -> tuple[Tensor, Tensor]:
        embedded = self.attributes(condition.attributes).flatten(1)
        # The unit vector is scaled to unit variance in each dimension.
        features = self.layers(torch.cat([embedded, condition.sentence * self.scale], dim=1))
        return features, self.proj_out(features)


class LayoutBlock(nn.Module):
    """Residual MLP block with adaptive layer norm (arXiv:2212.09748)."""

    def __init__(self, width: int, condition_dim: int):
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = nn.Linear(condition_dim, 3 * width)
        self.layers = nn.Sequential(
            nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width)
        )
        nn.init.zeros_(self.modulation.weight)  # gate 0: the block starts as the identity
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        scale, shift, gate = self.modulation(vector).chunk(3, dim=1)
        output: Tensor = x + gate * self.layers(self.norm(x) * (1 + scale) + shift)
        return output


class LayoutFlow(nn.Module):
    """Velocity field of a rectified flow over normalized codes (B, K).

    Without what a Gaussian explains, the blocks would spend themselves on passing noise on. Without
    the mean, they do not hear the condition for a thousand steps: the noise of 512 numbers is much
    larger than it, and their last layer, whose best output is then 0, passes no gradient.

    Attributes:
        std: Deviations (K,) of the codes.
        residual_scale: Logarithm (K,) of the share of them that the mean leaves, learned.
    """

    std: Tensor

    def __init__(self, model: ModelConfig, sizes: tuple[int, ...], text_dim: int):
        super().__init__()
        width = model.layout_width
        self.mean = ConditionalMean(model, sizes, text_dim)
        self.condition = ConditionVector(model, sizes, text_dim)
        self.proj_in = nn.Linear(model.layout_dim, width)
        self.features_in = nn.Linear(model.mean_width, width)
        self.blocks = nn.ModuleList(
            LayoutBlock(width, model.condition_dim) for _ in range(model.layout_blocks)
        )
        self.norm = nn.LayerNorm(width)
        self.proj_out = nn.Linear(width, model.layout_dim)
        self.residual_scale = nn.Parameter(torch.zeros(model.layout_dim))
        self.register_buffer("std", torch.ones(model.layout_dim))

    def forward(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """Velocities (B, K) at x_t (B, K) and times (B,), 0 at noise and 1 at data."""
        features, mean = self.mean(condition)
        mean = self.std * mean
        times = t[:, None]
        std = self.std * self.residual_scale.exp()
        noise, data = 1 - times, times * std
        total_std = (noise.square() + data.square()).sqrt()
        residual = x_t - times * mean
        h = self.proj_in(residual / total_std) + self.features_in(features)
        vector = self.condition(t, condition)
        for block in self.blocks:
            h = block(h, vector)
        output = self.proj_out(F.silu(self.norm(h)))
        linear = (data * std - noise) / total_std.square() * residual
        velocity: Tensor = mean + linear + std / total_std * output
        return velocity
