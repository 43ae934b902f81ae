"""The small image encoder that is trained here, from scratch.

A residual network (arXiv:1512.03385) for images of about 64 pixels. Its features are the mean over
the image and a map of 4x4 positions, because the layout of the parts distinguishes two chairs.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MAP_SIZE, MAP_CHANNELS = 4, 64


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut; starts as the identity."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        nn.init.zeros_(self.norm2.weight)
        self.shortcut = nn.Sequential()
        if stride > 1 or in_channels != out_channels:
            # Average pooling: a strided 1x1 convolution would drop three pixels of four (ResNet-D).
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride, ceil_mode=True),
                nn.Conv2d(in_channels, out_channels, 1, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.shortcut(x) + self.norm2(self.conv2(y)))


class SmallImageEncoder(nn.Module):
    """Images (N, 3, S, S) in [0, 1] to features (N, dim).

    Args:
        width: Channels after the first block; the last has four times as many.
    """

    def __init__(self, width: int):
        super().__init__()
        self.dim = MAP_CHANNELS * MAP_SIZE**2 + 4 * width
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
        self.map_proj = nn.Conv2d(4 * width, MAP_CHANNELS, 1)
        self.norm = nn.BatchNorm1d(self.dim)
        # channels_last convolutions are twice as fast on a CPU.
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        x = ((images - 0.5) * 3).contiguous(memory_format=torch.channels_last)
        x = self.blocks(self.stem(x))
        spatial = F.adaptive_avg_pool2d(self.map_proj(x), MAP_SIZE).flatten(1)
        features: Tensor = self.norm(torch.cat([spatial, x.mean((2, 3))], 1))
        return features
