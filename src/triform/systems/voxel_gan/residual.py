"""Residual encoder and decoder: the same contract as the documented pair, made for a CPU.

The grid is cut into 4^3 patches by one strided convolution and put together again by one linear
map per patch, so that every 3x3x3 convolution works at R/4 or coarser. The latent enters the
decoder at each block (scale and shift, as in arXiv:1709.07871) and not only at its start.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PATCH = 4


def level_sizes(voxel_size: int) -> list[int]:
    """Grid sizes from fine to coarse: R/4, halved while the result stays at 4 or more."""
    sizes = [voxel_size // PATCH]
    while sizes[-1] % 2 == 0 and sizes[-1] >= 8:
        sizes.append(sizes[-1] // 2)
    return sizes


def join_patches(x: Tensor) -> Tensor:
    """(B, 4^3, r, r, r), one patch of logits per cell, to the grid (B, 1, 4r, 4r, 4r)."""
    batch, _, size, _, _ = x.shape
    x = x.view(batch, PATCH, PATCH, PATCH, size, size, size).permute(0, 4, 1, 5, 2, 6, 3)
    return x.reshape(batch, 1, PATCH * size, PATCH * size, PATCH * size)


class Block(nn.Module):
    """Pre-activation residual block (arXiv:1603.05027); `style` shifts and scales in between."""

    def __init__(self, channels: int, *, style_dim: int = 0, dropout_rate: float = 0.0):
        super().__init__()
        self.norm1 = nn.GroupNorm(8, channels)
        self.conv1 = nn.Conv3d(channels, channels, 3, padding=1)
        self.norm2 = nn.GroupNorm(8, channels)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1)
        self.style = nn.Linear(style_dim, 2 * channels) if style_dim else None
        self.dropout = nn.Dropout3d(dropout_rate)
        nn.init.zeros_(self.conv2.weight)  # the block starts as the identity
        assert self.conv2.bias is not None
        nn.init.zeros_(self.conv2.bias)

    def forward(self, x: Tensor, style: Tensor | None = None) -> Tensor:
        h = self.norm2(self.conv1(F.silu(self.norm1(x))))
        if self.style is not None:
            scale, shift = self.style(style)[:, :, None, None, None].chunk(2, dim=1)
            h = h * (1 + scale) + shift
        return x + self.conv2(self.dropout(F.silu(h)))


class ResidualEncoder(nn.Module):
    """Occupancy (B, 1, R, R, R) to `mu` and `logvar`, each (B, z). R a multiple of 4."""

    def __init__(
        self,
        voxel_size: int,
        *,
        latent_dim: int,
        hidden_channels: int,
        bottleneck_channels: int = 24,
        dropout_rate: float = 0.0,
    ):
        super().__init__()
        sizes = level_sizes(voxel_size)
        channels = [hidden_channels * 2**i for i in range(len(sizes))]
        self.patches = nn.Conv3d(1, channels[0], PATCH, PATCH)
        # No block at the finest level: it would cost as much as all others, for little.
        stages: list[nn.Module] = []
        for fine, coarse in pairwise(channels):
            stages += [nn.Conv3d(fine, coarse, 2, 2), Block(coarse, dropout_rate=dropout_rate)]
        self.stages = nn.Sequential(*stages)
        self.norm = nn.GroupNorm(8, channels[-1])
        self.squeeze = nn.Conv3d(channels[-1], bottleneck_channels, 1)
        self.to_latent = nn.Linear(bottleneck_channels * sizes[-1] ** 3, 2 * latent_dim)

    def forward(self, voxels: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stages(self.patches(2 * voxels - 1))
        x = self.squeeze(F.silu(self.norm(x))).flatten(1)
        mu, logvar = self.to_latent(x).chunk(2, dim=1)
        return mu, logvar.clamp(-12, 6)


class ResidualDecoder(nn.Module):
    """Latent (B, z) and condition (B, c) to voxel logits (B, 1, R, R, R); logit > 0 is inside."""

    def __init__(
        self,
        voxel_size: int,
        *,
        latent_dim: int,
        cond_dim: int,
        hidden_channels: int,
        bottleneck_channels: int = 24,
        style_dim: int = 256,
        dropout_rate: float = 0.0,
    ):
        super().__init__()
        sizes = level_sizes(voxel_size)[::-1]
        channels = [hidden_channels * 2**i for i in reversed(range(len(sizes)))]
        self.start_size = sizes[0]
        self.bottleneck_channels = bottleneck_channels
        self.to_style = nn.Sequential(
            nn.Linear(latent_dim + cond_dim, style_dim), nn.SiLU(), nn.Linear(style_dim, style_dim)
        )
        self.start = nn.Linear(latent_dim + cond_dim, bottleneck_channels * sizes[0] ** 3)
        self.widen = nn.Conv3d(bottleneck_channels, channels[0], 1)
        self.stages = nn.ModuleList()
        for i, width in enumerate(channels):
            if i:
                self.stages.append(nn.ConvTranspose3d(channels[i - 1], width, 2, 2))
            self.stages.append(Block(width, style_dim=style_dim, dropout_rate=dropout_rate))
        self.norm = nn.GroupNorm(8, channels[-1])
        self.to_patches = nn.Conv3d(channels[-1], PATCH**3, 1)

    @property
    def output_bias(self) -> Tensor:
        """Bias of the voxel logits."""
        assert self.to_patches.bias is not None
        return self.to_patches.bias

    def forward(self, z: Tensor, cond: Tensor) -> Tensor:
        code = torch.cat([z, cond], dim=1)
        style = F.silu(self.to_style(code))
        size = self.start_size
        x = self.start(code).view(-1, self.bottleneck_channels, size, size, size)
        x = self.widen(x)
        for stage in self.stages:
            x = stage(x, style) if isinstance(stage, Block) else stage(x)
        return join_patches(self.to_patches(F.silu(self.norm(x))))
