"""Augmentation that keeps what a caption says: small affine maps and changes of colour."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def jitter(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Rotate, scale, translate and recolour each image (B, 3, S, S) in [0, 1].

    By up to `strength` radians, a factor of `1 + strength` for each side, half that share of the
    side, and half that share of brightness and of each channel's gain. Edges are repeated.
    """

    def uniform(*shape: int) -> Tensor:
        return strength * (2 * torch.rand(len(images), *shape, generator=generator) - 1)

    angle = uniform()
    rotation = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], -1)
    matrix = rotation.unflatten(-1, (2, 2)) * (1 + uniform(2))[:, None]
    affine = torch.cat([matrix, uniform(2, 1) / 2], -1)
    grid = F.affine_grid(affine, list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    return (moved * (1 + uniform(3, 1, 1) / 2) + uniform(1, 1, 1) / 2).clamp(0, 1)
