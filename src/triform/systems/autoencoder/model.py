"""Autoencoder of images, of fully connected layers or of convolutions.

Hinton and Salakhutdinov, doi.org/10.1126/science.1127647.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from triform.layers.conv_autoencoder import ImageDecoder, ImageEncoder
from triform.layers.image_spec import ImageSpec
from triform.systems.autoencoder.config import ModelConfig


class Autoencoder(nn.Module):
    """Encoder and decoder.

    Args:
        config: Sizes; dense layers for images of 28 x 28 are 784-512-256-32-256-512-784.
        spec: Shape of the images.
    """

    def __init__(self, config: ModelConfig, spec: ImageSpec):
        super().__init__()
        self.encoder: nn.Module
        self.decoder: nn.Module
        if config.architecture == "convolutional":
            width, latent_dim, blocks = config.width, config.latent_dim, config.blocks
            self.encoder = ImageEncoder(*spec.shape, width, latent_dim, blocks)
            self.decoder = ImageDecoder(*spec.shape, width, latent_dim, blocks)
        else:
            widths = [spec.channels * spec.size**2, *config.hidden_dims, config.latent_dim]
            self.encoder = nn.Sequential(nn.Flatten(), *_dense_layers(widths))
            shape = (spec.channels, spec.size, spec.size)
            self.decoder = nn.Sequential(*_dense_layers(widths[::-1]), nn.Unflatten(1, shape))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstructions (B, C, S, S) of images in [0, 1], and latents (B, D)."""
        latents = self.encoder(images)
        return torch.sigmoid(self.decoder(latents)), latents


def _dense_layers(widths: list[int]) -> list[nn.Module]:
    """Linear layers with ReLU between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return layers[:-1]
