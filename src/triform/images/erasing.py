"""Random erasing: an augmentation that hides a part of an image."""

from __future__ import annotations

import torch
from torch import Tensor


def random_erase(images: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Cover a rectangle of some images (B, 3, S, S) in [0, 1] with noise (arXiv:1708.04896).

    The sides of a rectangle are 1/16 to 1/4 of the image's.
    """
    size = images.shape[3]
    is_erased = torch.rand(len(images), generator=generator) < probability
    sides = (torch.rand(len(images), 2, generator=generator) * 3 + 1) / 16 * size
    corners = torch.rand(len(images), 2, generator=generator) * (size - sides)
    pixels = torch.arange(size)
    inside = (pixels >= corners[..., None]) & (pixels < (corners + sides)[..., None])
    mask = inside[:, 0, :, None] & inside[:, 1, None, :] & is_erased[:, None, None]
    noise = torch.rand(images.shape, generator=generator)
    return torch.where(mask[:, None], noise, images)
