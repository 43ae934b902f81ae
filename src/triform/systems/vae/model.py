"""A picture becomes a cloud of codes, a code a picture.

Kingma and Welling, arXiv:1312.6114, section 2.3 and appendix B.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from triform.layers.picture_coder import PictureDecoder, PictureEncoder
from triform.layers.picture_facts import PictureFacts, picture_shape
from triform.systems.vae.config import ModelConfig
from triform.systems.vae.prior import Prior

LOGVAR = 10.0


class Vae(nn.Module):
    """Encoder, prior and decoder.

    Attributes:
        log_sigma: logarithm of the deviation of a pixel (gaussian likelihood).

    Args:
        config: sizes and likelihood.
        facts: of the pictures.
    """

    log_sigma: Tensor

    def __init__(self, config: ModelConfig, facts: PictureFacts):
        super().__init__()
        self.facts, self.bernoulli = facts, config.likelihood == "bernoulli"
        channels, size = picture_shape(facts)
        width, codes, blocks = config.width, config.latent_dim, config.blocks
        self.encoder = PictureEncoder(channels, size, width, 2 * codes, blocks)
        self.decoder = PictureDecoder(channels, size, width, codes, blocks)
        self.prior = Prior(codes, config.prior_components)
        start = torch.tensor(config.sigma or 0.1).log()
        if self.bernoulli or config.sigma:
            self.register_buffer("log_sigma", start)
        else:
            self.log_sigma = nn.Parameter(start)

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures (B, C, S, S) in [0, 1] to mean and log variance of their codes (B, D)."""
        mu, logvar = self.encoder(images).float().chunk(2, 1)
        return mu, logvar.clamp(-LOGVAR, LOGVAR)

    def picture(self, said: Tensor) -> Tensor:
        """The mean picture in [0, 1] of what the decoder says (B, C, S, S)."""
        return torch.sigmoid(said) if self.bernoulli else said.clamp(0, 1)

    def forward(self, images: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One code for each picture.

        Args:
            images: (B, C, S, S) in [0, 1].
            noise: (B, D), standard normal; zeros take the mean.

        Returns:
            What the decoder says (B, C, S, S): logits of pixels, or their means; KL divergence to
            the prior (B, D), by units where it has a closed form, else (B, 1); means (B, D).
        """
        mu, logvar = self.encode(images)
        z = mu + (logvar / 2).exp() * noise
        return self.decoder(z), self.prior.kl(mu, logvar, z), mu
