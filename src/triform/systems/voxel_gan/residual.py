"""Residual encoder and decoder with the interface of the documented pair, fast on a CPU.

Voxels are embedded in 4^3 patches by one strided convolution and predicted by one linear map per
patch, so that every 3x3x3 convolution works at R/4 or coarser. The latent modulates each block of
the decoder (FiLM, arXiv:1709.07871) besides being its input.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from triform.systems.voxel_gan.config import ModelConfig

PATCH_SIZE = 4
BOTTLENECK_CHANNELS = 24
EMBED_DIM = 256


def level_sizes(voxel_size: int) -> list[int]:
    """Resolutions from fine to coarse: R/4, halved while the result stays at 4 or more."""
    sizes = [voxel_size // PATCH_SIZE]
    while sizes[-1] % 2 == 0 and sizes[-1] >= 8:
        sizes.append(sizes[-1] // 2)
    return sizes


def unpatchify(x: Tensor) -> Tensor:
    """Logits of patches (B, 4^3, r, r, r) to logits of voxels (B, 1, 4r, 4r, 4r)."""
    batch, _, size, _, _ = x.shape
    x = x.view(batch, PATCH_SIZE, PATCH_SIZE, PATCH_SIZE, size, size, size)
    x = x.permute(0, 4, 1, 5, 2, 6, 3)
    return x.reshape(batch, 1, PATCH_SIZE * size, PATCH_SIZE * size, PATCH_SIZE * size)


class ResidualBlock(nn.Module):
    """Pre-activation residual block (arXiv:1603.05027), modulated by an embedding (FiLM)."""

    def __init__(self, channels: int, *, embed_dim: int = 0, dropout_rate: float = 0.0):
        super().__init__()
        self.norm1 = nn.GroupNorm(8, channels)
        self.conv1 = nn.Conv3d(channels, channels, 3, padding=1)
        self.norm2 = nn.GroupNorm(8, channels)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1)
        self.modulation = nn.Linear(embed_dim, 2 * channels) if embed_dim else None
        self.dropout = nn.Dropout3d(dropout_rate)
        nn.init.zeros_(self.conv2.weight)  # the block starts as the identity
        assert self.conv2.bias is not None
        nn.init.zeros_(self.conv2.bias)

    def forward(self, x: Tensor, embedding: Tensor | None = None) -> Tensor:
        h = self.norm2(self.conv1(F.silu(self.norm1(x))))
        if self.modulation is not None:
            scale, shift = self.modulation(embedding)[:, :, None, None, None].chunk(2, dim=1)
            h = h * (1 + scale) + shift
        residual: Tensor = self.conv2(self.dropout(F.silu(h)))
        return x + residual


class ResidualEncoder(nn.Module):
    """Occupancy (B, 1, R, R, R) to `mu` and `logvar`, each (B, z). R a multiple of 4."""

    def __init__(self, model: ModelConfig, voxel_size: int):
        super().__init__()
        sizes = level_sizes(voxel_size)
        channels = [model.hidden_channels * 2**i for i in range(len(sizes))]
        self.patch_embed = nn.Conv3d(1, channels[0], PATCH_SIZE, PATCH_SIZE)
        # No block at the finest level: it would cost as much as all others together.
        stages: list[nn.Module] = []
        for in_channels, out_channels in pairwise(channels):
            stages += [
                nn.Conv3d(in_channels, out_channels, 2, 2),
                ResidualBlock(out_channels, dropout_rate=model.dropout_rate),
            ]
        self.stages = nn.Sequential(*stages)
        self.norm = nn.GroupNorm(8, channels[-1])
        self.conv_out = nn.Conv3d(channels[-1], BOTTLENECK_CHANNELS, 1)
        self.fc_latent = nn.Linear(BOTTLENECK_CHANNELS * sizes[-1] ** 3, 2 * model.latent_dim)

    def forward(self, voxels: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stages(self.patch_embed(2 * voxels - 1))
        x = self.conv_out(F.silu(self.norm(x))).flatten(1)
        mu, logvar = self.fc_latent(x).chunk(2, dim=1)
        return mu, logvar.clamp(-12, 6)


class ResidualDecoder(nn.Module):
    """Latent (B, z) and condition (B, c) to voxel logits (B, 1, R, R, R); logit > 0 is inside."""

    def __init__(self, model: ModelConfig, voxel_size: int):
        super().__init__()
        sizes = level_sizes(voxel_size)[::-1]
        channels = [model.hidden_channels * 2**i for i in reversed(range(len(sizes)))]
        self.start_size = sizes[0]
        self.latent_embed = nn.Sequential(
            nn.Linear(model.decoder_inputs, EMBED_DIM), nn.SiLU(), nn.Linear(EMBED_DIM, EMBED_DIM)
        )
        self.proj_in = nn.Linear(model.decoder_inputs, BOTTLENECK_CHANNELS * sizes[0] ** 3)
        self.conv_in = nn.Conv3d(BOTTLENECK_CHANNELS, channels[0], 1)
        self.stages = nn.ModuleList()
        for i, width in enumerate(channels):
            if i:
                self.stages.append(nn.ConvTranspose3d(channels[i - 1], width, 2, 2))
            block = ResidualBlock(width, embed_dim=EMBED_DIM, dropout_rate=model.dropout_rate)
            self.stages.append(block)
        self.norm = nn.GroupNorm(8, channels[-1])
        self.proj_out = nn.Conv3d(channels[-1], PATCH_SIZE**3, 1)

    @property
    def output_bias(self) -> Tensor:
        """Bias of the voxel logits."""
        assert self.proj_out.bias is not None
        return self.proj_out.bias

    def forward(self, z: Tensor, cond: Tensor) -> Tensor:
        decoder_input = torch.cat([z, cond], dim=1)
        embedding = F.silu(self.latent_embed(decoder_input))
        size = self.start_size
        x = self.proj_in(decoder_input).view(-1, BOTTLENECK_CHANNELS, size, size, size)
        x = self.conv_in(x)
        for stage in self.stages:
            x = stage(x, embedding) if isinstance(stage, ResidualBlock) else stage(x)
        return unpatchify(self.proj_out(F.silu(self.norm(x))))
