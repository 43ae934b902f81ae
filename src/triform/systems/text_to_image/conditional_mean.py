"""The mean of the latents of a text, by a transformer from words to cells.

A regression with a loss of its own, without noise and time: which colour belongs to which thing,
and where it stands.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from triform.layers.attention import Attention
from triform.systems.text_to_image.condition import TextCondition
from triform.systems.text_to_image.config import ModelConfig

MLP_RATIO = 3
NEIGHBORS = 5
"""Word pieces in a convolution: a noun sees its adjective before any attention is learned."""
POSITION_STD = 0.5
"""Positions begin about as large as the tokens that they are added to."""


class TransformerBlock(nn.Module):
    """Cross-attention where there is a context, self-attention and an MLP, after a norm each."""

    def __init__(self, width: int, heads: int, *, cross_attention: bool):
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 + cross_attention))
        self.cross_attention = Attention(width, heads) if cross_attention else None
        self.attention = Attention(width, heads)
        self.mlp = nn.Sequential(
            nn.Linear(width, MLP_RATIO * width),
            nn.GELU(approximate="tanh"),
            nn.Linear(MLP_RATIO * width, width),
        )

    def forward(self, x: Tensor, mask: Tensor, context: Tensor | None = None) -> Tensor:
        """Tokens (B, N, W); the mask is that of the context (B, M, W), or without one of x."""
        if self.cross_attention is not None:
            x = x + self.cross_attention(self.norms[2](x), context, mask)
        h = self.norms[0](x)
        x = x + self.attention(h, h, mask if self.cross_attention is None else None)
        output: Tensor = x + self.mlp(self.norms[1](x))
        return output


class ContextEncoder(nn.Module):
    """A text to the context that cells attend to: a token of the whole text, then its words.

    The first token is always there, so that a missing text leaves something to attend to. Without
    words it stands apart from the vector of the text.
    """

    def __init__(self, model: ModelConfig, text_dim: int, word_dim: int):
        super().__init__()
        width = model.prior_width
        self.first = nn.Parameter(0.02 * torch.randn(width))
        self.sentence_in = nn.Linear(text_dim, width, bias=False)
        self.has_words = model.max_words > 0
        if self.has_words:
            self.norm_in = nn.LayerNorm(word_dim)
            self.word_in = nn.Linear(word_dim, width)
            self.neighbors = nn.Conv1d(width, width, NEIGHBORS, padding=NEIGHBORS // 2)
            self.positions = nn.Parameter(POSITION_STD * torch.randn(model.max_words, width))
            self.blocks = nn.ModuleList(
                TransformerBlock(width, model.prior_heads, cross_attention=False)
                for _ in range(model.word_layers)
            )
        self.norm_out = nn.LayerNorm(width)

    def forward(self, text: TextCondition) -> tuple[Tensor, Tensor]:
        """Context (B, 1 + T, W) and mask (B, 1 + T) of T words, or (B, 2, W) and (B, 2) without."""
        # The unit vector is scaled to unit variance in each dimension.
        scaled = text.sentence * math.sqrt(text.sentence.shape[1])
        sentence = self.sentence_in(scaled)
        if not self.has_words:  # attention to a single token would have no choice
            context = torch.stack([self.first.expand_as(sentence), sentence], dim=1)
            mask = torch.ones_like(context[..., 0], dtype=torch.bool)
        else:
            words = self.word_in(self.norm_in(text.words))
            # Padding is zero for the convolution, as what lies beyond the ends.
            words = words * text.word_mask[..., None]
            words = words + self.neighbors(words.transpose(1, 2)).transpose(1, 2)
            words = words + self.positions[: words.shape[1]]
            context = torch.cat([(self.first + sentence)[:, None], words], dim=1)
            is_first = text.word_mask.new_ones(len(words), 1)
            mask = torch.cat([is_first, text.word_mask], dim=1)
            for block in self.blocks:
                context = block(context, mask)
        return self.norm_out(context), mask


class ConditionalMean(nn.Module):
    """Mean of the normalized latents of each text, and the features of the cells that give it.

    Args:
        model: Sizes.
        cells: Cells along each side of a latent.
        text_dim: Width of a text embedding of length 1.
        word_dim: Width of the state of a word.
    """

    def __init__(self, model: ModelConfig, cells: int, text_dim: int, word_dim: int):
        super().__init__()
        width = model.prior_width
        self.cells = cells
        self.context = ContextEncoder(model, text_dim, word_dim)
        self.positions = nn.Parameter(POSITION_STD * torch.randn(cells * cells, width))
        self.blocks = nn.ModuleList(
            TransformerBlock(width, model.prior_heads, cross_attention=True)
            for _ in range(model.mean_layers)
        )
        self.norm = nn.LayerNorm(width)
        self.proj_out = nn.Linear(width, model.latent_channels)

    def forward(self, text: TextCondition) -> tuple[Tensor, Tensor]:
        """Features (B, N, W) of the N cells and means (B, L, H, W) float32 for B texts."""
        context, mask = self.context(text)
        h = self.positions.expand(len(text), -1, -1)
        for block in self.blocks:
            h = block(h, mask, context)
        features = self.norm(h)
        mean = self.proj_out(features).transpose(1, 2).unflatten(2, (self.cells, self.cells))
        return features, mean.float()
