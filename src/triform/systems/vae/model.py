"""Encoder to a Gaussian latent, prior, and decoder.

Kingma and Welling, arXiv:1312.6114, section 2.3 and appendix B.
"""

import torch
from torch import Tensor, nn

from triform.layers.conv_autoencoder import ImageDecoder, ImageEncoder
from triform.layers.dense_autoencoder import dense_decoder, dense_encoder
from triform.layers.image_spec import ImageSpec
from triform.systems.vae.config import ModelConfig
from triform.systems.vae.prior import Prior

MAX_LOGVAR = 10.0


class Vae(nn.Module):
    """Variational autoencoder of images.

    Attributes:
        log_sigma: Logarithm of the standard deviation of a pixel (gaussian likelihood).

    Args:
        config: Sizes and likelihood; dense layers for images of 28 x 28 are 784-512-512-latent.
        spec: Shape of the images.
    """

    log_sigma: Tensor

    def __init__(self, config: ModelConfig, spec: ImageSpec):
        super().__init__()
        self.bernoulli = config.likelihood == "bernoulli"
        latent_dim = config.latent_dim
        self.encoder: nn.Module
        self.decoder: nn.Module
        if config.architecture == "convolutional":
            width, blocks = config.width, config.blocks
            self.encoder = ImageEncoder(*spec.shape, width, 2 * latent_dim, blocks)
            self.decoder = ImageDecoder(*spec.shape, width, latent_dim, blocks)
        else:
            hidden_dims = config.hidden_dims
            self.encoder = dense_encoder(*spec.shape, hidden_dims, 2 * latent_dim)
            self.decoder = dense_decoder(*spec.shape, hidden_dims[::-1], latent_dim)
        self.prior = Prior(latent_dim, config.prior_components)
        log_sigma = torch.tensor(config.sigma or 0.1).log()
        if self.bernoulli or config.sigma:
            self.register_buffer("log_sigma", log_sigma)
        else:
            self.log_sigma = nn.Parameter(log_sigma)

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance (B, D) of the latents of images (B, C, S, S) in [0, 1]."""
        mu, logvar = self.encoder(images).float().chunk(2, 1)
        return mu, logvar.clamp(-MAX_LOGVAR, MAX_LOGVAR)

    def decode(self, z: Tensor) -> Tensor:
        """Mean images (B, C, S, S) in [0, 1] of latents (B, D)."""
        output = self.decoder(z)
        return torch.sigmoid(output) if self.bernoulli else output.clamp(0, 1)

    def forward(self, images: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Decode one latent of each image.

        Args:
            images: (B, C, S, S) in [0, 1].
            noise: (B, D), standard normal; zeros take the mean.

        Returns:
            Output of the decoder (B, C, S, S): logits of pixels, or their means; KL divergence to
            the prior (B, D), or (B, 1) if it has no closed form; means (B, D).
        """
        mu, logvar = self.encode(images)
        z = mu + (logvar / 2).exp() * noise
        return self.decoder(z), self.prior.kl(mu, logvar, z), mu
