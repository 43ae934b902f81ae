"""Pictures to codes and codes to pictures, by convolutions; for small pictures of any size.

Nothing is computed at the full size: a picture enters as a strided convolution and leaves as four
neighbouring pixels for every place of half the size (pixel shuffle, arXiv:1609.05158). Norms and
activations at the full size cost as much as all the rest together.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from triform.layers.picture_facts import halvings


class ResidualBlock(nn.Module):
    """Two normed 3x3 convolutions beside a shortcut (arXiv:1603.05027)."""

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
        return x + self.layers(x)


class PictureEncoder(nn.Module):
    """From pictures (B, C, S, S) in [0, 1] to (B, outputs).

    Args:
        channels: of the pictures.
        size: pixels along each side.
        width: channels after the first halving.
        outputs: numbers for each picture.
        blocks: residual blocks at each size.
    """

    def __init__(self, channels: int, size: int, width: int, outputs: int, blocks: int = 1):
        super().__init__()
        count, base = halvings(size)
        self.padding = base * 2**count - size
        widths = [width * 2**level for level in range(count)]
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
        return self.head(h.flatten(1))


class PictureDecoder(nn.Module):
    """From codes (B, inputs) to logits of pixels (B, C, S, S).

    Args:
        channels: of the pictures.
        size: pixels along each side.
        width: channels before the last doubling.
        inputs: numbers for each picture.
        blocks: residual blocks at each size.
    """

    def __init__(self, channels: int, size: int, width: int, inputs: int, blocks: int = 1):
        super().__init__()
        self.size = size
        count, self.base = halvings(size)
        widths = [width * 2**level for level in reversed(range(count))]
        self.head = nn.Linear(inputs, widths[0] * self.base**2)
        layers: list[nn.Module] = [ResidualBlock(widths[0]) for _ in range(blocks)]
        for wide, narrow in pairwise(widths):
            # A kernel as large as its stride: places do not overlap, nothing is counted twice.
            layers.append(nn.ConvTranspose2d(wide, narrow, 2, stride=2))
            layers += [ResidualBlock(narrow) for _ in range(blocks)]
        layers += [nn.BatchNorm2d(width), nn.SiLU()]
        self.layers = nn.Sequential(*layers)
        self.leave = nn.Sequential(nn.Conv2d(width, 4 * channels, 3, padding=1), nn.PixelShuffle(2))
        self.to(memory_format=torch.channels_last)

    def forward(self, codes: Tensor) -> Tensor:
        h = self.head(codes).unflatten(1, (-1, self.base, self.base))
        h = self.layers(h.contiguous(memory_format=torch.channels_last))
        return self.leave(h)[..., : self.size, : self.size]
