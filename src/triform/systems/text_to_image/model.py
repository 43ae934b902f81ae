"""The networks of text to image, by the settings of the model."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from triform.systems.text_to_image.autoencoder import Autoencoder
from triform.systems.text_to_image.config import DOWNSAMPLING, ModelConfig
from triform.systems.text_to_image.gan import Discriminator, Generator
from triform.systems.text_to_image.prior import Prior, build_prior


@dataclass(frozen=True)
class Networks:
    """The networks that turn a text embedding into an image.

    Attributes:
        vae: Between images and latents.
        prior: From text embeddings to normalized latents.
        generator: Refines decoded images.
    """

    vae: Autoencoder
    prior: Prior
    generator: Generator

    def by_name(self) -> dict[str, nn.Module]:
        """The networks by their names in a checkpoint."""
        return {"vae": self.vae, "prior": self.prior, "generator": self.generator}


def build_networks(
    model: ModelConfig, *, channels: int, image_size: int, text_dim: int, word_dim: int = 0
) -> Networks:
    """Build the networks that a trained model needs.

    Args:
        model: Sizes.
        channels: 3, or 4 with transparency.
        image_size: Pixels along each side.
        text_dim: Width of a text embedding.
        word_dim: Width of the state of a word; 0 without.
    """
    return Networks(
        Autoencoder(channels, model),
        build_prior(model, image_size // DOWNSAMPLING, text_dim, word_dim),
        Generator(channels, model, text_dim),
    )


def build_discriminator(model: ModelConfig, text_dim: int) -> Discriminator:
    """Build the discriminator, which training alone needs."""
    return Discriminator(model, text_dim)
