"""A picture becomes a short code, and the code a picture again.

Hinton and Salakhutdinov, doi.org/10.1126/science.1127647.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from triform.layers.picture_coder import PictureDecoder, PictureEncoder
from triform.layers.picture_facts import PictureFacts, picture_shape
from triform.systems.autoencoder.config import ModelConfig


class Autoencoder(nn.Module):
    """Encoder and decoder.

    Args:
        config: sizes; dense pictures of 28 x 28 go through 784-512-256-32-256-512-784.
        facts: of the pictures.
    """

    def __init__(self, config: ModelConfig, facts: PictureFacts):
        super().__init__()
        self.facts = facts
        channels, size = picture_shape(facts)
        self.encoder: nn.Module
        self.decoder: nn.Module
        if config.architecture == "convolutional":
            width, codes, blocks = config.width, config.latent_dim, config.blocks
            self.encoder = PictureEncoder(channels, size, width, codes, blocks)
            self.decoder = PictureDecoder(channels, size, width, codes, blocks)
        else:
            widths = [channels * size**2, *config.hidden_dims, config.latent_dim]
            self.encoder = nn.Sequential(nn.Flatten(), *_dense(widths))
            shape = (channels, size, size)
            self.decoder = nn.Sequential(*_dense(widths[::-1]), nn.Unflatten(1, shape))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures (B, C, S, S) in [0, 1] to the same again, and their codes (B, D)."""
        codes = self.encoder(images)
        return torch.sigmoid(self.decoder(codes)), codes


def _dense(widths: list[int]) -> list[nn.Module]:
    """Linear layers with ReLU between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return layers[:-1]
