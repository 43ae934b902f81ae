"""Generator that refines a decoded image, and its text-conditioned discriminator.

A residual generator as the second stage of StackGAN (arXiv:1612.03242); a projection discriminator
(arXiv:1802.05637) whose text condition is faded in (arXiv:2201.06578).
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from triform.systems.text_to_image.autoencoder import ResidualBlock, group_norm, level_widths
from triform.systems.text_to_image.config import ModelConfig

CONDITION_DIM = 128


class Generator(nn.Module):
    """U-Net that adds details to an image.

    Args:
        channels: Channels of the images.
        model: Sizes.
        text_dim: Width of a text embedding.
    """

    def __init__(self, channels: int, model: ModelConfig, text_dim: int):
        super().__init__()
        widths = level_widths(model.gan_width)
        self.condition = nn.Sequential(nn.Linear(text_dim, CONDITION_DIM), nn.SiLU())
        self.conv_in = nn.Conv2d(4 * channels, widths[0], 3, padding=1)
        self.down_blocks = nn.ModuleList(ResidualBlock(width, CONDITION_DIM) for width in widths)
        self.downsamplers = nn.ModuleList(
            nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in pairwise(widths)
        )
        self.upsamplers = nn.ModuleList(
            nn.ConvTranspose2d(coarse, fine, 2, stride=2) for fine, coarse in pairwise(widths)
        )
        self.up_blocks = nn.ModuleList(ResidualBlock(width, CONDITION_DIM) for width in widths[:-1])
        self.norm = group_norm(widths[0])
        self.conv_out = nn.Conv2d(widths[0], 4 * channels, 3, padding=1)
        for parameter in self.conv_out.parameters():
            nn.init.zeros_(parameter)  # the generator starts as the identity
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor, text: Tensor) -> Tensor:
        """Refine images.

        Args:
            images: (B, C, S, S), about in [0, 1].
            text: (B, D) embeddings of length 1.

        Returns:
            Images (B, C, S, S), about in [0, 1].
        """
        condition = self.condition(text * text.shape[1] ** 0.5)
        patches = F.pixel_unshuffle(2 * images - 1, 2)
        h = self.conv_in(patches.contiguous(memory_format=torch.channels_last))
        skips = []
        for level, block in enumerate(self.down_blocks):
            h = block(h, condition)
            if level < len(self.downsamplers):
                skips.append(h)
                h = self.downsamplers[level](h)
        for level in reversed(range(len(skips))):
            h = self.up_blocks[level](self.upsamplers[level](h) + skips[level], condition)
        residual = F.pixel_shuffle(self.conv_out(F.silu(self.norm(h))), 2)
        output: Tensor = images + residual / 2
        return output


class Discriminator(nn.Module):
    """Logits of RGB images and texts: realism of each cell, and agreement with the text.

    Args:
        model: Sizes.
        text_dim: Width of a text embedding.
    """

    def __init__(self, model: ModelConfig, text_dim: int):
        super().__init__()
        widths = level_widths(model.gan_width)
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for level, (inputs, width) in enumerate(zip((3, *widths), widths, strict=False)):
            layers[f"conv{level}"] = spectral_norm(nn.Conv2d(inputs, width, 4, 2, padding=1))
            layers[f"activation{level}"] = nn.LeakyReLU(0.2)
        self.layers = nn.Sequential(layers)
        self.head = spectral_norm(nn.Conv2d(widths[-1], 1, 3, padding=1))
        self.text_projection = spectral_norm(nn.Linear(text_dim, widths[-1]))

    def forward(self, images: Tensor, text: Tensor, text_weight: float = 1.0) -> Tensor:
        """Logits (B,) of images (B, 3, S, S) in [0, 1] that show texts (B, D) of length 1.

        Args:
            images: RGB images.
            text: Embeddings.
            text_weight: Weight of the agreement, from 0 to 1.
        """
        features = self.layers(2 * images - 1)
        text = self.text_projection(text * text.shape[1] ** 0.5)
        pooled = features.mean((2, 3))
        agreement = (pooled * text).sum(1) / pooled.shape[1] ** 0.5
        logits: Tensor = self.head(features).mean((1, 2, 3)) + text_weight * agreement
        return logits
