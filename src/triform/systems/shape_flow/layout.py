"""The layout of a whole shape: a linear code of its latents, and a rectified flow over that code.

The flow over cells learns parts faster than their arrangement. So the arrangement is generated
first, as a few hundred numbers that start as the principal components of all training latents.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from triform.layers.rectified_flow import precondition
from triform.systems.shape_flow.condition import Condition, ConditionVector
from triform.systems.shape_flow.config import ModelConfig

MIN_STD = 1e-3


class Layout(nn.Module):
    """Linear code of normalized latents, and the statistics of both.

    One matrix (`components`) encodes and decodes, as in an analysis of principal components.
    Latents are normalized for each channel. Codes are divided by the square root of their standard
    deviation times that of the largest, so that large components stay larger but not by much.
    """

    latent_mean: Tensor
    latent_std: Tensor
    code_mean: Tensor
    code_std: Tensor
    residual_std: Tensor

    def __init__(self, model: ModelConfig, cells: int):
        super().__init__()
        channels = model.latent_channels
        self.shape = (channels, cells, cells, cells)
        size = channels * cells**3
        self.components = nn.Parameter(nn.init.orthogonal_(torch.empty(model.layout_dim, size)))
        self.mean = nn.Parameter(torch.zeros(size))
        self.register_buffer("latent_mean", torch.zeros(channels, 1, 1, 1))
        self.register_buffer("latent_std", torch.ones(channels, 1, 1, 1))
        self.register_buffer("code_mean", torch.zeros(model.layout_dim))
        self.register_buffer("code_std", torch.ones(model.layout_dim))
        self.register_buffer("residual_std", torch.ones(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Normalized latents (B, C, G, G, G) to normalized codes and to reconstructed latents."""
        code = self._encode(x)
        return self.normalize_code(code), self._decode(code)

    def _encode(self, x: Tensor) -> Tensor:
        return F.linear(x.flatten(1) - self.mean, self.components)

    def _decode(self, code: Tensor) -> Tensor:
        return F.linear(code, self.components.T, self.mean).reshape(-1, *self.shape)

    def normalize(self, z: Tensor) -> Tensor:
        """Latents (B, C, G, G, G) to zero mean and unit variance of each channel."""
        return (z - self.latent_mean) / self.latent_std

    def denormalize(self, x: Tensor) -> Tensor:
        """The inverse of `normalize`."""
        return x * self.latent_std + self.latent_mean

    @property
    def code_scale(self) -> Tensor:
        """What codes are divided by, (K,)."""
        scale: Tensor = (self.code_std * self.code_std.max()).sqrt()
        return scale

    @property
    def normalized_std(self) -> Tensor:
        """Deviations of normalized codes, (K,)."""
        return self.code_std / self.code_scale

    def normalize_code(self, code: Tensor) -> Tensor:
        """Codes (B, K) to zero mean and at most unit variance."""
        return (code - self.code_mean) / self.code_scale

    def decode(self, normalized_code: Tensor) -> Tensor:
        """Normalized codes (B, K) to normalized latents (B, C, G, G, G)."""
        return self._decode(normalized_code * self.code_scale + self.code_mean)

    @torch.no_grad()
    def update_latent_statistics(self, z: Tensor, momentum: float) -> None:
        """Move the statistics of latents towards those of a batch (B, C, G, G, G)."""
        axes = (0, 2, 3, 4)
        self.latent_mean.lerp_(z.mean(axes, keepdim=True)[0], momentum)
        std = (z - self.latent_mean).square().mean(axes, keepdim=True)[0].sqrt()
        self.latent_std.lerp_(std.clamp(min=MIN_STD), momentum)

    @torch.no_grad()
    def update_code_statistics(self, x: Tensor, momentum: float) -> None:
        """Move the statistics of codes and residuals towards those of normalized latents."""
        code = self._encode(x).float()
        self.code_mean.lerp_(code.mean(0), momentum)
        std = (code - self.code_mean).square().mean(0).sqrt()
        self.code_std.lerp_(std.clamp(min=MIN_STD), momentum)
        residual = x - self._decode(code)
        std = residual.square().mean((0, 2, 3, 4), keepdim=True)[0].sqrt()
        self.residual_std.lerp_(std.clamp(min=MIN_STD), momentum)

    @torch.no_grad()
    def fit(self, z: Tensor) -> None:
        """Set everything from all training latents (N, C, G, G, G): principal components.

        Fewer latents than numbers of the code leave the last of them without meaning.
        """
        self.update_latent_statistics(z, 1.0)
        x = self.normalize(z).flatten(1)
        mean = x.mean(0)
        rank = min(self.code_std.numel(), *x.shape)
        _, _, directions = torch.svd_lowrank(x - mean, q=min(rank + 16, *x.shape), niter=4)
        self.components.zero_()[:rank] = directions[:, :rank].T
        self.mean.copy_(mean)
        self.update_code_statistics(x.reshape(-1, *self.shape), 1.0)


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

    What is optimal for independent Gaussian numbers of known deviations is added in closed form: an
    MLP would spend itself on passing noise on.
    """

    std: Tensor

    def __init__(self, model: ModelConfig, sizes: tuple[int, ...], text_dim: int):
        super().__init__()
        width = model.layout_width
        self.condition = ConditionVector(model, sizes, text_dim)
        self.proj_in = nn.Linear(model.layout_dim, width)
        self.blocks = nn.ModuleList(
            LayoutBlock(width, model.condition_dim) for _ in range(model.layout_blocks)
        )
        self.norm = nn.LayerNorm(width)
        self.proj_out = nn.Linear(width, model.layout_dim)
        self.register_buffer("std", torch.ones(model.layout_dim))

    def forward(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        vector = self.condition(t, condition)
        linear, scaled, scale = precondition(x_t, t, torch.zeros_like(x_t), self.std)
        h = self.proj_in(scaled)
        for block in self.blocks:
            h = block(h, vector)
        output = self.proj_out(F.silu(self.norm(h)))
        velocity: Tensor = linear + scale * output
        return velocity
