"""Encoder and decoder of small images by fully connected layers, with ReLU between them."""

from collections.abc import Sequence
from itertools import pairwise

from torch import nn


def dense_encoder(
    channels: int, size: int, hidden_dims: Sequence[int], outputs: int
) -> nn.Sequential:
    """From images (B, C, S, S) to vectors (B, outputs)."""
    return nn.Sequential(nn.Flatten(), *_linear_layers([channels * size**2, *hidden_dims, outputs]))


def dense_decoder(
    channels: int, size: int, hidden_dims: Sequence[int], latent_dim: int
) -> nn.Sequential:
    """From latents (B, latent_dim) to logits of pixels (B, C, S, S)."""
    layers = _linear_layers([latent_dim, *hidden_dims, channels * size**2])
    return nn.Sequential(*layers, nn.Unflatten(1, (channels, size, size)))


def _linear_layers(widths: Sequence[int]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return layers[:-1]
