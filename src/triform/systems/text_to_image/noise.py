"""Noise that the latents of images begin with: independent, or variations of one image's."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from triform.base.seeding import generator


def image_noise(
    shape: Sequence[int], seed: int, numbers: Sequence[int], variation: float = 0.0
) -> Tensor:
    """Standard normal noise of an image, or of a variation of it.

    Args:
        shape: Of the noise.
        seed: Seed of all images.
        numbers: Number of the image; then, if it is a variation, number of the variation, and of
            the variation of that one, and so on.
        variation: Share of new noise in the variance of each variation.
    """
    noise = torch.randn(tuple(shape), generator=generator("image", seed, numbers[0]))
    for depth in range(1, len(numbers)):
        keys = numbers[: depth + 1]
        new = torch.randn(tuple(shape), generator=generator("image", seed, *keys))
        noise = (1 - variation) ** 0.5 * noise + variation**0.5 * new
    return noise
