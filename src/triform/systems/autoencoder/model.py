"""Autoencoder of images, of fully connected layers or of convolutions.

Hinton and Salakhutdinov, doi.org/10.1126/science.1127647.
"""

import torch
from torch import Tensor, nn

from triform.layers.conv_autoencoder import ImageDecoder, ImageEncoder
from triform.layers.dense_autoencoder import dense_decoder, dense_encoder
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
            hidden_dims, latent_dim = config.hidden_dims, config.latent_dim
            self.encoder = dense_encoder(*spec.shape, hidden_dims, latent_dim)
            self.decoder = dense_decoder(*spec.shape, hidden_dims[::-1], latent_dim)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstructions (B, C, S, S) of images in [0, 1], and latents (B, D)."""
        latents = self.encoder(images)
        return torch.sigmoid(self.decoder(latents)), latents
