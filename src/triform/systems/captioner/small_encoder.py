"""A small residual network, for captioners whose encoder is trained from scratch."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn


class SmallEncoder(nn.Module):
    """Three stages of residual blocks, from images in [0, 1] to (B, 4 * width, S / 8, S / 8).

    Args:
        width: Channels of the first stage; each stage has twice those of the one before.
        num_blocks: Residual blocks in a stage.
        dropout: Share of channels dropped after each block of the last stage.
    """

    def __init__(self, width: int, num_blocks: int = 1, dropout: float = 0.0):
        super().__init__()
        self.out_channels = 4 * width
        layers: list[nn.Module] = []
        for inputs, outputs in ((3, width), (width, 2 * width), (2 * width, 4 * width)):
            layers.append(_conv_norm_relu(inputs, outputs, stride=2))
            block_dropout = dropout if outputs == 4 * width else 0.0
            layers += [ResidualBlock(outputs, block_dropout) for _ in range(num_blocks)]
        self.layers = nn.Sequential(*layers).to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.layers(
            (images * 2 - 1).contiguous(memory_format=torch.channels_last)
        )
        return features


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut (arXiv:1512.03385)."""

    def __init__(self, width: int, dropout: float = 0.0):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, x: Tensor) -> Tensor:
        residual = self.norm2(self.conv2(torch.relu(self.norm1(self.conv1(x)))))
        output: Tensor = self.dropout(torch.relu(x + residual))
        return output


def _conv_norm_relu(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
            norm=nn.BatchNorm2d(outputs),
            relu=nn.ReLU(),
        )
    )
