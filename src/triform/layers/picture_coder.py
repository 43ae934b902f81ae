"""Pictures to codes and codes to pictures, by convolutions; for small pictures of any size."""

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
    """

    def __init__(self, channels: int, size: int, width: int, outputs: int):
        super().__init__()
        count, base = halvings(size)
        self.padding = base * 2**count - size
        widths = [channels, *(width * 2**level for level in range(count))]
        layers: list[nn.Module] = []
        for narrow, wide in pairwise(widths):
            layers += [nn.Conv2d(narrow, wide, 4, stride=2, padding=1), ResidualBlock(wide)]
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
    """

    def __init__(self, channels: int, size: int, width: int, inputs: int):
        super().__init__()
        self.size = size
        count, self.base = halvings(size)
        widths = [width * 2**level for level in reversed(range(count))]
        self.head = nn.Linear(inputs, widths[0] * self.base**2)
        layers: list[nn.Module] = []
        for wide, narrow in pairwise([*widths, width]):
            layers += [
                ResidualBlock(wide),
                nn.ConvTranspose2d(wide, narrow, 4, stride=2, padding=1),
            ]
        self.layers = nn.Sequential(*layers, nn.BatchNorm2d(width), nn.SiLU())
        self.leave = nn.Conv2d(width, channels, 3, padding=1)
        self.to(memory_format=torch.channels_last)

    def forward(self, codes: Tensor) -> Tensor:
        h = self.head(codes).unflatten(1, (-1, self.base, self.base))
        h = self.layers(h.contiguous(memory_format=torch.channels_last))
        return self.leave(h)[..., : self.size, : self.size]
