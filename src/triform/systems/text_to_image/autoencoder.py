"""Variational autoencoder of images with a latent of S/8 x S/8 cells. Tensors in, tensors out.

Latent diffusion's first stage (arXiv:2112.10752, appendix G) at a small size: nothing is computed
at the full size, images enter and leave as patches of 2 x 2 pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from triform.systems.text_to_image.config import ModelConfig

GROUP_CHANNELS = 8
"""Channels of a group of a norm: groups of one channel would take away its mean, the colour."""
LEVELS = 3
"""Halvings, the patches included."""


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, each after group norm and SiLU, added to the input.

    Args:
        width: Channels.
        condition_dim: Width of a condition that scales and shifts the second norm; 0 without.
    """

    def __init__(self, width: int, condition_dim: int = 0):
        super().__init__()
        self.norm1, self.norm2 = (group_norm(width) for _ in range(2))
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.modulation = nn.Linear(condition_dim, 2 * width) if condition_dim else None

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        h = self.norm2(self.conv1(F.silu(self.norm1(x))))
        if self.modulation is not None:
            scale, shift = self.modulation(condition)[:, :, None, None].chunk(2, dim=1)
            h = h * (1 + scale) + shift
        output: Tensor = x + self.conv2(F.silu(h))
        return output


class Encoder(nn.Module):
    """Images (B, C, S, S) in [0, 1] to mean and log variance (B, L, S/8, S/8)."""

    def __init__(self, channels: int, model: ModelConfig):
        super().__init__()
        widths = level_widths(model.vae_width)
        layers: list[nn.Module] = [nn.Conv2d(4 * channels, widths[0], 3, padding=1)]
        for level, width in enumerate(widths):
            if level:
                layers.append(nn.Conv2d(widths[level - 1], width, 2, stride=2))
            layers.append(ResidualBlock(width))
        self.layers = nn.Sequential(*layers, group_norm(widths[-1]), nn.SiLU())
        self.head = nn.Conv2d(widths[-1], 2 * model.latent_channels, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        patches = F.pixel_unshuffle(2 * images - 1, 2)
        h = self.layers(patches.contiguous(memory_format=torch.channels_last))
        mean, logvar = self.head(h).chunk(2, dim=1)
        return mean, logvar.clamp(-12.0, 4.0)


class Decoder(nn.Module):
    """Latents (B, L, S/8, S/8) to images (B, C, S, S), about in [0, 1]."""

    def __init__(self, channels: int, model: ModelConfig):
        super().__init__()
        widths = level_widths(model.vae_width)[::-1]
        layers: list[nn.Module] = [nn.Conv2d(model.latent_channels, widths[0], 3, padding=1)]
        for level, width in enumerate(widths):
            if level:
                layers.append(nn.ConvTranspose2d(widths[level - 1], width, 2, stride=2))
            layers += [ResidualBlock(width), ResidualBlock(width)]
        self.layers = nn.Sequential(*layers, group_norm(widths[-1]), nn.SiLU())
        self.head = nn.Sequential(
            nn.Conv2d(widths[-1], 4 * channels, 3, padding=1), nn.PixelShuffle(2)
        )

    def forward(self, latents: Tensor) -> Tensor:
        h = self.layers(latents.contiguous(memory_format=torch.channels_last))
        output: Tensor = (self.head(h) + 1) / 2
        return output


class Autoencoder(nn.Module):
    """Encoder and decoder, and the statistics of the latents.

    Attributes:
        latent_mean, latent_std: (L,) of each channel over the training, by which latents are
            normalized for the prior.
    """

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(self, channels: int, model: ModelConfig):
        super().__init__()
        self.encoder, self.decoder = Encoder(channels, model), Decoder(channels, model)
        self.register_buffer("latent_mean", torch.zeros(model.latent_channels))
        self.register_buffer("latent_std", torch.ones(model.latent_channels))
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruct from a sample of the posterior.

        Args:
            images: (B, C, S, S) in [0, 1].
            noise: (B, L, S/8, S/8) standard normal; zeros take the mean.

        Returns:
            Images (B, C, S, S), mean and log variance (B, L, S/8, S/8).
        """
        mean, logvar = self.encoder(images)
        return self.decoder(mean + noise * (logvar / 2).exp()), mean, logvar

    def normalize(self, latents: Tensor) -> Tensor:
        """Latents (B, L, ...) with mean 0 and deviation 1 in each channel."""
        return (latents - self.latent_mean[:, None, None]) / self.latent_std[:, None, None]

    def decode(self, normalized: Tensor) -> Tensor:
        """Images (B, C, S, S) of normalized latents."""
        latents = normalized * self.latent_std[:, None, None] + self.latent_mean[:, None, None]
        output: Tensor = self.decoder(latents)
        return output

    @torch.no_grad()
    def update_statistics(self, latents: Tensor, momentum: float = 0.01) -> None:
        """Update the moving mean and deviation by those of a batch of latents (B, L, H, W)."""
        self.latent_mean.lerp_(latents.mean((0, 2, 3)), momentum)
        deviations = latents - self.latent_mean[:, None, None]
        std = deviations.square().mean((0, 2, 3)).sqrt()
        self.latent_std.lerp_(std.clamp(min=1e-3), momentum)


def group_norm(width: int) -> nn.GroupNorm:
    """Group norm of a number of channels that is a multiple of 8."""
    return nn.GroupNorm(width // GROUP_CHANNELS, width)


def level_widths(width: int) -> list[int]:
    """Channels at half, a quarter and an eighth of the size."""
    return [width * 2**level for level in range(LEVELS)]
