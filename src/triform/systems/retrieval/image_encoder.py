"""The small picture encoder that is trained here, from scratch.

A residual network (arXiv:1512.03385) for pictures of about 64 pixels. Beside the mean over the
picture it keeps a grid of 4x4 places, because what lies where tells two chairs apart.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from triform.systems.retrieval.config import ModelConfig

GRID, GRID_CHANNELS = 4, 64


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut; begins as the shortcut alone."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        nn.init.zeros_(self.norm2.weight)
        self.shortcut = nn.Sequential()
        if stride > 1 or in_channels != out_channels:
            # Averaging keeps what a convolution with a stride would not look at.
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride, ceil_mode=True),
                nn.Conv2d(in_channels, out_channels, 1, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.shortcut(x) + self.norm2(self.conv2(y)))


class SmallImageEncoder(nn.Module):
    """Pictures (N, 3, S, S) in [0, 1] to features (N, dim).

    Args:
        width: Channels after the first block; the last has four times as many.
    """

    def __init__(self, width: int):
        super().__init__()
        self.dim = GRID_CHANNELS * GRID**2 + 4 * width
        self.stem = nn.Sequential(
            nn.Conv2d(3, width // 2, 4, 2, 1, bias=False), nn.BatchNorm2d(width // 2), nn.ReLU()
        )
        self.blocks = nn.Sequential(
            ResidualBlock(width // 2, width, 2),
            ResidualBlock(width, width, 1),
            ResidualBlock(width, 2 * width, 2),
            ResidualBlock(2 * width, 2 * width, 1),
            ResidualBlock(2 * width, 4 * width, 2),
        )
        self.places = nn.Conv2d(4 * width, GRID_CHANNELS, 1)
        self.norm = nn.BatchNorm1d(self.dim)
        # Convolutions over channels that lie together are twice as fast on a CPU.
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        x = ((images - 0.5) * 3).contiguous(memory_format=torch.channels_last)
        x = self.blocks(self.stem(x))
        places = F.adaptive_avg_pool2d(self.places(x), GRID).flatten(1)
        return self.norm(torch.cat([places, x.mean((2, 3))], 1))


def build_image_encoder(model: ModelConfig) -> SmallImageEncoder:
    """The encoder of these settings."""
    return SmallImageEncoder(model.image_width)
