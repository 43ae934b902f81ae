"""Convolutional autoencoder of signed distances and colours, with a local latent.

A latent cell describes 8^3 samples and sees its neighbourhood only: no layer mixes far places, and
norms are taken over the channels of one cell. Weights are shared over places, so that a few hundred
shapes are enough (arXiv:2412.01506 has such a structure latent, with occupancy).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from triform.geometry.voxels.signed_distance import TRUNCATION
from triform.systems.shape_flow.config import CELL, COLOR_PATCH, PATCH, ModelConfig

COLOR_CHANNELS = 4
"""Red, green, blue from -1 to 1, and whether a surface is near; see `colors.py`."""


class ChannelNorm(nn.Module):
    """Layer norm over the channels of each cell (B, C, X, Y, Z)."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        # In float32: sums of bf16 gradients over all cells of a batch stop growing.
        normalized: Tensor = self.norm(x.permute(0, 2, 3, 4, 1).float())
        return normalized.permute(0, 4, 1, 2, 3)


class ResidualBlock(nn.Module):
    """Two convolutions of 3^3, each after norm and SiLU, added to the input."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm1, self.norm2 = ChannelNorm(channels), ChannelNorm(channels)
        self.conv1 = nn.Conv3d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        output: Tensor = x + self.conv2(F.silu(self.norm2(h)))
        return output


class Encoder(nn.Module):
    """Distances (B, 1, R, R, R) and colours (B, 4, R/2, ...) to mean and log variance."""

    def __init__(self, model: ModelConfig):
        super().__init__()
        fine, coarse = model.encoder_widths
        self.distance_in = nn.Conv3d(1, fine, PATCH, stride=PATCH)
        self.color_in = nn.Conv3d(COLOR_CHANNELS, fine, COLOR_PATCH, stride=COLOR_PATCH)
        self.fine = blocks(fine, model.encoder_blocks[0])
        self.down = nn.Conv3d(fine, coarse, CELL // PATCH, stride=CELL // PATCH)
        self.coarse = blocks(coarse, model.encoder_blocks[1])
        self.norm = ChannelNorm(coarse)
        self.out = nn.Conv3d(coarse, 2 * model.latent_channels, 1)

    def forward(self, distance: Tensor, colors: Tensor) -> tuple[Tensor, Tensor]:
        x = self.distance_in(distance / TRUNCATION) + self.color_in(colors)
        x = self.coarse(self.down(self.fine(x)))
        mean, logvar = self.out(F.silu(self.norm(x))).chunk(2, dim=1)
        return mean, logvar.clamp(-12.0, 4.0)


class Decoder(nn.Module):
    """Latents (B, C, R/8, ...) to distances in voxels and colours (B, 3, R/2, ...) in [-1, 1]."""

    def __init__(self, model: ModelConfig):
        super().__init__()
        fine, coarse = model.decoder_widths
        self.latent_in = nn.Conv3d(model.latent_channels, coarse, 3, padding=1)
        self.coarse = blocks(coarse, model.decoder_blocks[0])
        self.up = nn.Conv3d(coarse, fine * (CELL // PATCH) ** 3, 1)
        self.fine = blocks(fine, model.decoder_blocks[1])
        self.norm = ChannelNorm(fine)
        # 3^3 patches of features give a patch of samples: neighbours agree at its border.
        self.out = nn.Conv3d(fine, PATCH**3 + 3 * COLOR_PATCH**3, 3, padding=1)
        self.refine = Refinement(fine, model.refine_width) if model.refine_width else None

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        x = unpack_patches(self.up(self.coarse(self.latent_in(z))), CELL // PATCH)
        x = F.silu(self.norm(self.fine(x)))
        distance, colors = self.out(x).split([PATCH**3, 3 * COLOR_PATCH**3], dim=1)
        distance, colors = unpack_patches(distance, PATCH), unpack_patches(colors, COLOR_PATCH)
        if self.refine is not None:
            distance, colors = self.refine(x, distance, colors)
        return TRUNCATION * distance, colors


class Refinement(nn.Module):
    """A residual on the decoder's output, with features at half patches, blocks of one colour.

    Patches of 4^3 samples are linear in their features; what is thinner than a patch (grooves of
    drawers, gaps between slats) needs a layer that sees where the surface came to lie.
    """

    def __init__(self, fine: int, width: int):
        super().__init__()
        self.up = nn.Conv3d(fine, width * COLOR_PATCH**3, 1)
        self.fields_in = nn.Conv3d(COLOR_PATCH**3 + 3, width, 3, padding=1)
        self.block = ResidualBlock(width)
        self.norm = ChannelNorm(width)
        self.out = nn.Conv3d(width, COLOR_PATCH**3 + 3, 3, padding=1)
        for parameter in self.out.parameters():
            nn.init.zeros_(parameter)  # starts as the identity

    def forward(self, x: Tensor, distance: Tensor, colors: Tensor) -> tuple[Tensor, Tensor]:
        """Refine fields.

        Args:
            x: features (B, C, R/4, R/4, R/4).
            distance: (B, 1, R, R, R), in units of the truncation.
            colors: (B, 3, R/2, R/2, R/2).
        """
        fields = torch.cat([pack_patches(distance, COLOR_PATCH), colors], dim=1)
        h = self.block(unpack_patches(self.up(x), COLOR_PATCH) + self.fields_in(fields))
        fields = fields + self.out(F.silu(self.norm(h)))
        distance, colors = fields.split([COLOR_PATCH**3, 3], dim=1)
        return unpack_patches(distance, COLOR_PATCH), colors


class Autoencoder(nn.Module):
    """Variational autoencoder with a Gaussian posterior for each number of the latent."""

    def __init__(self, model: ModelConfig):
        super().__init__()
        self.latent_channels = model.latent_channels
        self.encoder, self.decoder = Encoder(model), Decoder(model)
        self.to(memory_format=torch.channels_last_3d)

    def latent_shape(self, resolution: int) -> tuple[int, int, int, int]:
        """Channels and cells along each side of the latent of a field (R, R, R)."""
        cells = resolution // CELL
        return self.latent_channels, cells, cells, cells

    def forward(
        self,
        distance: Tensor,
        colors: Tensor,
        noise: Tensor,
        replace: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Reconstruct from a sample of the posterior.

        Args:
            distance: (B, 1, R, R, R) in voxels, from -TRUNCATION to TRUNCATION.
            colors: (B, 4, R/2, R/2, R/2), see COLOR_CHANNELS.
            noise: (B, C, R/8, R/8, R/8) standard normal; zeros take the mean.
            replace: gives the latents that are decoded, from the posterior's mean and sample.

        Returns:
            Distances (B, 1, R, R, R), colours (B, 3, R/2, R/2, R/2), mean and log variance.
        """
        distance = distance.contiguous(memory_format=torch.channels_last_3d)
        mean, logvar = self.encoder(distance, colors)
        z = mean + noise * (logvar / 2).exp()
        decoded, decoded_colors = self.decoder(z if replace is None else replace(mean, z))
        return decoded, decoded_colors, mean, logvar


def blocks(channels: int, count: int) -> nn.Sequential:
    """Residual blocks, one after the other."""
    return nn.Sequential(*(ResidualBlock(channels) for _ in range(count)))


def unpack_patches(x: Tensor, size: int) -> Tensor:
    """Channels (B, C size^3, X, Y, Z) to places (B, C, X size, Y size, Z size)."""
    batch, channels, *sides = x.shape
    parts = x.permute(0, 2, 3, 4, 1).reshape(batch, *sides, channels // size**3, size, size, size)
    samples = parts.permute(0, 1, 5, 2, 6, 3, 7, 4)
    # Channels stay the last axis in memory, as the convolutions want them.
    merged = samples.reshape(batch, *(side * size for side in sides), channels // size**3)
    return merged.permute(0, 4, 1, 2, 3)


def pack_patches(x: Tensor, size: int) -> Tensor:
    """The inverse of `unpack_patches`."""
    batch, channels, *sides = x.shape
    split = [length for side in sides for length in (side // size, size)]
    parts = x.permute(0, 2, 3, 4, 1).reshape(batch, *split, channels)
    patches = parts.permute(0, 1, 3, 5, 7, 2, 4, 6)
    merged = patches.reshape(batch, *(side // size for side in sides), channels * size**3)
    return merged.permute(0, 4, 1, 2, 3)
