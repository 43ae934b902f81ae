"""Priors from a text embedding to a latent: a rectified flow, or a regression.

Rectified flow: arXiv:2209.03003; transformer with adaptive layer norms: arXiv:2212.09748; norms of
queries and keys: arXiv:2302.05442, section 2; classifier-free guidance: arXiv:2207.12598. A latent
cell is a token; the condition is the vector of the text and, where `max_words` is above 0, the
states of its words by cross-attention.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from triform.layers.attention import Attention
from triform.layers.rectified_flow import guided, integrate, time_embedding
from triform.systems.text_to_image.condition import TextCondition
from triform.systems.text_to_image.config import ModelConfig

TIME_DIM = 128
MLP_RATIO = 3


class Block(nn.Module):
    """Self-attention, cross-attention to words where there are any, and an MLP.

    Each has a norm; self-attention and MLP have scale, shift and gate by the condition, the
    cross-attention a gate.
    """

    def __init__(self, width: int, heads: int, *, cross_attention: bool):
        super().__init__()
        norms = 3 if cross_attention else 2
        self.norms = nn.ModuleList(
            nn.LayerNorm(width, elementwise_affine=False) for _ in range(norms)
        )
        self.attention = Attention(width, heads)
        self.cross_attention = Attention(width, heads) if cross_attention else None
        self.mlp = nn.Sequential(
            nn.Linear(width, MLP_RATIO * width),
            nn.GELU(approximate="tanh"),
            nn.Linear(MLP_RATIO * width, width),
        )
        self.modulation = nn.Linear(width, 7 * width)
        nn.init.zeros_(self.modulation.weight)  # gates 0: the block starts as the identity
        nn.init.zeros_(self.modulation.bias)

    def forward(
        self,
        x: Tensor,
        condition: Tensor,
        context: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Tokens (B, N, W), condition (B, W), words (B, M, W) and their mask (B, M)."""
        parts = self.modulation(condition)[:, None].chunk(7, dim=2)
        scale1, shift1, gate1, scale2, shift2, gate2, cross_gate = parts
        h = self.norms[0](x) * (1 + scale1) + shift1
        # Without cross-attention the tokens are the words themselves.
        self_mask = mask if context is None else None
        x = x + gate1 * self.attention(h, h, self_mask)
        if self.cross_attention is not None:
            x = x + cross_gate * self.cross_attention(self.norms[2](x), context, mask)
        output: Tensor = x + gate2 * self.mlp(self.norms[1](x) * (1 + scale2) + shift2)
        return output


class FlowPrior(nn.Module):
    """Velocity field v(x_t, t, text) over normalized latents, and its sampler.

    `x_t = (1 - t) * noise + t * x_1`, velocity `x_1 - noise`.

    Args:
        model: Sizes.
        cells: Cells along each side of a latent.
        text_dim: Width of a text embedding of length 1.
        word_dim: Width of the state of a word.
    """

    def __init__(self, model: ModelConfig, cells: int, text_dim: int, word_dim: int):
        super().__init__()
        width, heads = model.prior_width, model.prior_heads
        self.shape = (model.latent_channels, cells, cells)
        self.time_embed = nn.Sequential(nn.Linear(TIME_DIM, width), nn.SiLU())
        self.text_embed = nn.Sequential(nn.Linear(text_dim, width), nn.SiLU())
        self.condition = nn.Sequential(nn.Linear(2 * width, width), nn.SiLU())
        self.words = WordEncoder(model, word_dim) if model.max_words else None
        self.proj_in = nn.Linear(model.latent_channels, width)
        self.position_embedding = nn.Parameter(0.02 * torch.randn(cells * cells, width))
        self.blocks = nn.ModuleList(
            Block(width, heads, cross_attention=self.words is not None)
            for _ in range(model.prior_layers)
        )
        self.norm = nn.LayerNorm(width)
        self.proj_out = nn.Linear(width, model.latent_channels)
        nn.init.zeros_(self.proj_out.weight)
        nn.init.zeros_(self.proj_out.bias)

    def forward(self, x_t: Tensor, t: Tensor, text: TextCondition) -> Tensor:
        """Velocities (B, L, H, W) at x_t (B, L, H, W), times (B,) and B texts."""
        # The unit vector is scaled to unit variance in each dimension.
        sentence = self.text_embed(text.sentence * math.sqrt(text.sentence.shape[1]))
        time = self.time_embed(time_embedding(t, TIME_DIM))
        condition = self.condition(torch.cat([time, sentence], dim=1))
        context, mask = (None, None) if self.words is None else self.words(text, condition)
        h = self.proj_in(x_t.flatten(2).transpose(1, 2)) + self.position_embedding
        for block in self.blocks:
            h = block(h, condition, context, mask)
        velocity: Tensor = self.proj_out(self.norm(h)).transpose(1, 2).unflatten(2, self.shape[1:])
        return velocity

    @torch.no_grad()
    def sample(self, text: TextCondition, noise: Tensor, *, steps: int, guidance: float) -> Tensor:
        """Noise (B, L, H, W) to normalized latents by Euler's method.

        Args:
            text: B texts.
            noise: Standard normal.
            steps: Steps of equal length.
            guidance: 1 is the conditional velocity; larger values follow the text more closely.
        """
        both = text.with_unknown()
        velocity = guided(
            lambda x, t: self(x, t, both), lambda x, t: self(x, t, text), guidance, (0.0, 1.0)
        )
        return integrate(velocity, noise, steps, heun=False)


class WordEncoder(nn.Module):
    """States of words, with their positions, to the context of cross-attention.

    A learned first token is always there, so that a missing text leaves something to attend to.
    """

    def __init__(self, model: ModelConfig, word_dim: int):
        super().__init__()
        width = model.prior_width
        self.norm = nn.LayerNorm(word_dim)
        self.proj_in = nn.Linear(word_dim, width)
        self.first = nn.Parameter(0.02 * torch.randn(1, width))
        self.position_embedding = nn.Parameter(0.02 * torch.randn(model.max_words, width))
        self.block = Block(width, model.prior_heads, cross_attention=False)
        self.norm_out = nn.LayerNorm(width)

    def forward(self, text: TextCondition, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Context (B, 1 + T, W) and mask (B, 1 + T) of words (B, T, word_dim)."""
        positions = self.position_embedding[: text.words.shape[1]]
        words = self.proj_in(self.norm(text.words)) + positions
        first = self.first.expand(len(words), 1, -1)
        is_first = text.word_mask.new_ones(len(words), 1)
        mask = torch.cat([is_first, text.word_mask], dim=1)
        context = self.block(torch.cat([first, words], dim=1), condition, mask=mask)
        return self.norm_out(context), mask


class RegressionPrior(nn.Module):
    """Normalized latents (B, L, H, W) from B text embeddings: their conditional mean."""

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

    def forward(self, text: TextCondition) -> Tensor:
        scaled = text.sentence * math.sqrt(text.sentence.shape[1])
        output: Tensor = self.layers(scaled).unflatten(1, self.shape)
        return output


Prior = FlowPrior | RegressionPrior


def build_prior(model: ModelConfig, cells: int, text_dim: int, word_dim: int) -> Prior:
    """The prior that settings name."""
    if model.prior == "flow":
        return FlowPrior(model, cells, text_dim, word_dim)
    return RegressionPrior(model, cells, text_dim)
