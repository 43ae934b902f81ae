"""Transformer over latent cells: the velocity of a rectified flow around a layout.

Tokens are 2^3 cells. Adaptive layer norm with one modulation for all blocks and a table for each
(arXiv:2310.00426), queries and keys normalized (arXiv:2302.05442), cross-attention to the words and
to the attributes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from triform.layers.attention import Attention
from triform.systems.shape_flow.condition import AttributeEmbedding, Condition, ConditionVector
from triform.systems.shape_flow.config import TOKEN, ModelConfig

NUM_MODULATIONS = 9
MLP_RATIO = 4


class FlowBlock(nn.Module):
    """Self-attention, cross-attention and an MLP, each with scale, shift and gate."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = nn.Parameter(torch.zeros(NUM_MODULATIONS, width))
        self.self_attention = Attention(width, heads)
        self.cross_attention = Attention(width, heads)
        self.mlp = nn.Sequential(
            nn.Linear(width, MLP_RATIO * width),
            nn.GELU(approximate="tanh"),
            nn.Linear(MLP_RATIO * width, width),
        )

    def forward(self, x: Tensor, modulation: Tensor, context: Tensor, mask: Tensor) -> Tensor:
        """Tokens (B, N, W), modulation (B, 9, W), context (B, M, W) and its mask (B, M)."""
        parts = (modulation + self.modulation).unsqueeze(2).unbind(1)
        h = self._modulate(x, *parts[:2])
        x = x + parts[2] * self.self_attention(h, h)
        x = x + parts[5] * self.cross_attention(self._modulate(x, *parts[3:5]), context, mask)
        output: Tensor = x + parts[8] * self.mlp(self._modulate(x, *parts[6:8]))
        return output

    def _modulate(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        modulated: Tensor = self.norm(x) * (1 + scale) + shift
        return modulated


class CellFlow(nn.Module):
    """Velocity field over what a layout leaves of latents (B, C, G, G, G)."""

    def __init__(self, model: ModelConfig, cells: int, sizes: tuple[int, ...], text_dim: int):
        super().__init__()
        width, channels = model.flow_width, model.latent_channels
        self.cells = cells
        self.condition = ConditionVector(model, sizes, text_dim)
        self.modulation = nn.Linear(model.condition_dim, NUM_MODULATIONS * width)
        self.proj_in = nn.Linear(2 * channels * TOKEN**3, width)
        self.positions = nn.Parameter(0.02 * torch.randn((cells // TOKEN) ** 3, width))
        self.attributes = AttributeEmbedding(sizes, model.attribute_dim)
        self.attribute_in = nn.Linear(model.attribute_dim, width)
        self.word_in = nn.Linear(text_dim, width)
        self.blocks = nn.ModuleList(
            FlowBlock(width, model.flow_heads) for _ in range(model.flow_blocks)
        )
        self.norm = nn.LayerNorm(width)
        self.proj_out = nn.Linear(width, channels * TOKEN**3)
        nn.init.zeros_(self.modulation.weight)  # gates 0: blocks start as the identity
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x_t: Tensor, t: Tensor, layout: Tensor, condition: Condition) -> Tensor:
        """Velocity (B, C, G, G, G).

        Args:
            x_t: Residuals between noise and data (B, C, G, G, G).
            t: Times (B,), 0 at noise and 1 at data.
            layout: Normalized latents of the layout (B, C, G, G, G).
            condition: Of each shape.
        """
        vector = self.condition(t, condition)
        modulation = self.modulation(vector).unflatten(1, (NUM_MODULATIONS, -1))
        words = self.word_in(condition.words)
        attributes = self.attribute_in(self.attributes(condition.attributes))
        context = torch.cat([attributes, words], dim=1)
        known = torch.ones_like(condition.attributes, dtype=torch.bool)
        mask = torch.cat([known, condition.word_mask], dim=1)
        h = self.proj_in(to_tokens(torch.cat([x_t, layout], dim=1))) + self.positions
        for block in self.blocks:
            h = block(h, modulation, context, mask)
        return from_tokens(self.proj_out(self.norm(h)), self.cells)


def to_tokens(x: Tensor) -> Tensor:
    """Cells (B, C, G, G, G) to tokens (B, (G/2)^3, C 2^3)."""
    batch, channels, cells = x.shape[:3]
    sides = (cells // TOKEN, TOKEN) * 3
    parts = x.reshape(batch, channels, *sides).permute(0, 2, 4, 6, 1, 3, 5, 7)
    return parts.reshape(batch, (cells // TOKEN) ** 3, channels * TOKEN**3)


def from_tokens(tokens: Tensor, cells: int) -> Tensor:
    """The inverse of `to_tokens`."""
    batch, _, size = tokens.shape
    side, channels = cells // TOKEN, size // TOKEN**3
    parts = tokens.reshape(batch, side, side, side, channels, TOKEN, TOKEN, TOKEN)
    return parts.permute(0, 4, 1, 5, 2, 6, 3, 7).reshape(batch, channels, cells, cells, cells)
