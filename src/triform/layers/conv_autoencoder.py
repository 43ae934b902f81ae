"""Convolutional encoder and decoder of small images of any size.

Nothing is computed at the full size: the encoder begins with a strided convolution, the decoder
ends with a pixel shuffle of factor 2 (arXiv:1609.05158). Norms and activations at the full size
cost as much as all the rest together.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from triform.layers.image_spec import downsampling


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with pre-activation batch norm, and a skip (arXiv:1603.05027)."""

    def __init__(self, width: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm2d(width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = x + self.layers(x)
        return output


class ImageEncoder(nn.Module):
    """Encoder from images (B, C, S, S) in [0, 1] to vectors (B, outputs).

    Args:
        channels: Channels of the images.
        size: Pixels along each side.
        width: Channels after the first halving.
        outputs: Width of the vectors.
        blocks: Residual blocks at each size.
    """

    def __init__(self, channels: int, size: int, width: int, outputs: int, blocks: int = 1):
        super().__init__()
        levels, base = downsampling(size)
        self.padding = base * 2**levels - size
        widths = [width * 2**level for level in range(levels)]
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, stride=2, padding=1)]
        for level, wide in enumerate(widths):
            if level:
                layers.append(nn.Conv2d(widths[level - 1], wide, 2, stride=2))
            layers += [ResidualBlock(wide) for _ in range(blocks)]
        self.layers = nn.Sequential(*layers, nn.BatchNorm2d(widths[-1]), nn.SiLU())
        self.head = nn.Linear(widths[-1] * base**2, outputs)
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        images = F.pad(images, (0, self.padding, 0, self.padding)) * 2 - 1
        h = self.layers(images.contiguous(memory_format=torch.channels_last))
        output: Tensor = self.head(h.flatten(1))
        return output


class ImageDecoder(nn.Module):
    """Decoder from latents (B, latent_dim) to logits of pixels (B, C, S, S).

    Args:
        channels: Channels of the images.
        size: Pixels along each side.
        width: Channels before the last doubling.
        latent_dim: Width of the latents.
        blocks: Residual blocks at each size.
    """

    def __init__(self, channels: int, size: int, width: int, latent_dim: int, blocks: int = 1):
        super().__init__()
        self.size = size
        levels, self.base = downsampling(size)
        widths = [width * 2**level for level in reversed(range(levels))]
        self.stem = nn.Linear(latent_dim, widths[0] * self.base**2)
        layers: list[nn.Module] = [ResidualBlock(widths[0]) for _ in range(blocks)]
        for wide, narrow in pairwise(widths):
            # Kernel size equals stride: outputs do not overlap, so there is no checkerboard.
            layers.append(nn.ConvTranspose2d(wide, narrow, 2, stride=2))
            layers += [ResidualBlock(narrow) for _ in range(blocks)]
        layers += [nn.BatchNorm2d(width), nn.SiLU()]
        self.layers = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Conv2d(width, 4 * channels, 3, padding=1), nn.PixelShuffle(2))
        self.to(memory_format=torch.channels_last)

    def forward(self, latents: Tensor) -> Tensor:
        h = self.stem(latents).unflatten(1, (-1, self.base, self.base))
        h = self.layers(h.contiguous(memory_format=torch.channels_last))
        output: Tensor = self.head(h)[..., : self.size, : self.size]
        return output
