"""Priors from a text to a latent: a rectified flow around the text's mean, or a regression.

Rectified flow: arXiv:2209.03003; transformer with adaptive layer norms: arXiv:2212.09748; norms of
queries and keys: arXiv:2302.05442, section 2; classifier-free guidance: arXiv:2207.12598. A latent
cell is a token. The mean of the latents of a text and the features of its cells come from
`conditional_mean.py`; the flow generates what an image adds to that mean.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from triform.layers.attention import Attention
from triform.layers.rectified_flow import guided, integrate, precondition, time_embedding
from triform.systems.text_to_image.condition import TextCondition
from triform.systems.text_to_image.conditional_mean import ConditionalMean
from triform.systems.text_to_image.config import ModelConfig

TIME_DIM = 128
MLP_RATIO = 3
MIN_STD = 1e-3


class Block(nn.Module):
    """Self-attention and an MLP; each has a norm, and scale, shift and gate by the condition."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width, elementwise_affine=False) for _ in range(2))
        self.attention = Attention(width, heads)
        self.mlp = nn.Sequential(
            nn.Linear(width, MLP_RATIO * width),
            nn.GELU(approximate="tanh"),
            nn.Linear(MLP_RATIO * width, width),
        )
        self.modulation = nn.Linear(width, 6 * width)
        nn.init.zeros_(self.modulation.weight)  # gates 0: the block starts as the identity
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Tokens (B, N, W), condition (B, W)."""
        parts = self.modulation(condition)[:, None].chunk(6, dim=2)
        scale1, shift1, gate1, scale2, shift2, gate2 = parts
        h = self.norms[0](x) * (1 + scale1) + shift1
        x = x + gate1 * self.attention(h, h)
        output: Tensor = x + gate2 * self.mlp(self.norms[1](x) * (1 + scale2) + shift2)
        return output


class FlowPrior(nn.Module):
    """Velocity field v(x_t, t, text) over normalized latents, and its sampler.

    `x_t = (1 - t) * noise + t * x_1`, velocity `x_1 - noise`. What is optimal for latents that are
    Gaussian around the mean of their text, with the deviations of each channel, is added in closed
    form, as preconditioning (arXiv:2206.00364, section 5); the transformer learns the rest.

    Attributes:
        residual_std: (L, 1, 1) deviations of latents from the mean of their text.

    Args:
        model: Sizes.
        cells: Cells along each side of a latent.
        text_dim: Width of a text embedding of length 1.
        word_dim: Width of the state of a word.
    """

    residual_std: Tensor

    def __init__(self, model: ModelConfig, cells: int, text_dim: int, word_dim: int):
        super().__init__()
        width = model.prior_width
        self.shape = (model.latent_channels, cells, cells)
        self.mean = ConditionalMean(model, cells, text_dim, word_dim)
        self.time_embed = nn.Sequential(nn.Linear(TIME_DIM, width), nn.SiLU())
        self.text_embed = nn.Sequential(nn.Linear(text_dim, width), nn.SiLU())
        self.condition = nn.Sequential(nn.Linear(2 * width, width), nn.SiLU())
        self.proj_in = nn.Linear(model.latent_channels, width)
        self.features_in = nn.Linear(width, width)
        self.blocks = nn.ModuleList(
            Block(width, model.prior_heads) for _ in range(model.prior_layers)
        )
        self.norm = nn.LayerNorm(width)
        self.proj_out = nn.Linear(width, model.latent_channels)
        nn.init.zeros_(self.proj_out.weight)
        nn.init.zeros_(self.proj_out.bias)
        self.register_buffer("residual_std", torch.ones(model.latent_channels, 1, 1))

    def forward(self, x_t: Tensor, t: Tensor, text: TextCondition) -> tuple[Tensor, Tensor]:
        """Velocities and means of the texts, both (B, L, H, W), for training.

        Args:
            x_t: (B, L, H, W).
            t: Times (B,), 0 at noise and 1 at data.
            text: B texts.
        """
        features, mean = self.mean(text)
        # The mean is learned from its own loss alone, its features from both.
        return self.velocity(x_t, t, text.sentence, features, mean.detach()), mean

    def velocity(
        self, x_t: Tensor, t: Tensor, sentence: Tensor, features: Tensor, mean: Tensor
    ) -> Tensor:
        """Velocities (B, L, H, W).

        Args:
            x_t: (B, L, H, W).
            t: Times (B,).
            sentence: Vectors (B, D) of the texts.
            features: Features (B, N, W) of their cells.
            mean: Their means (B, L, H, W).
        """
        # The unit vector is scaled to unit variance in each dimension.
        text = self.text_embed(sentence * math.sqrt(sentence.shape[1]))
        time = self.time_embed(time_embedding(t, TIME_DIM))
        condition = self.condition(torch.cat([time, text], dim=1))
        linear, scaled, scale = precondition(x_t, t, mean, self.residual_std)
        h = self.proj_in(scaled.flatten(2).transpose(1, 2))
        h = h + self.features_in(features)
        for block in self.blocks:
            h = block(h, condition)
        output = self.proj_out(self.norm(h)).transpose(1, 2).unflatten(2, self.shape[1:])
        velocity: Tensor = linear + scale * output
        return velocity

    @torch.no_grad()
    def update_residual_std(self, latents: Tensor, mean: Tensor, momentum: float = 0.01) -> None:
        """Update the moving deviations by those of a batch of latents (B, L, H, W)."""
        std = (latents - mean).square().mean((0, 2, 3)).sqrt()[:, None, None]
        self.residual_std.lerp_(std.clamp(min=MIN_STD), momentum)

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
        features, mean = self.mean(both)  # the same at all times
        inputs = (both.sentence, features, mean)
        conditional = tuple(each[: len(noise)] for each in inputs)
        velocity = guided(
            lambda x, t: self.velocity(x, t, *inputs),
            lambda x, t: self.velocity(x, t, *conditional),
            guidance,
            (0.0, 1.0),
        )
        return integrate(velocity, noise, steps, heun=False)


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
