"""Augmentation of training images and their captions."""

from __future__ import annotations

import re

import torch
from torch import Tensor
from torch.nn import functional as F

WHITE_THRESHOLD = 0.97
_SIDES = re.compile(r"\b(left|right)\b", re.IGNORECASE)


def swap_left_right(caption: str) -> str:
    """The caption of a mirrored image: "left" and "right" are exchanged."""
    other = {"left": "right", "right": "left"}
    return _SIDES.sub(lambda match: other[match[0].lower()], caption)


def jitter(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Randomly rotate, scale, translate and recolour images (B, 3, S, S) in [0, 1].

    Each on its own: rotated by up to `strength` radians, each side scaled by a factor of up to
    `1 + strength`, translated by up to half that share, each colour channel multiplied and all of
    them raised or lowered by up to half that share. Edges are repeated outwards.
    """

    def uniform(*shape: int) -> Tensor:
        """Random numbers in [-strength, strength]."""
        return strength * (2 * torch.rand(len(images), *shape, generator=generator) - 1)

    angle, scale = uniform(), 1 + uniform(2)
    rotation = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(-1, 2, 2)
    affine = torch.cat([rotation * scale[:, None], uniform(2, 1) / 2], 2)
    grid = F.affine_grid(affine, list(images.shape), align_corners=False)
    warped = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    recoloured = warped * (1 + uniform(3, 1, 1) / 2) + uniform(1, 1, 1) / 2
    # White stays white: the background does not depend on the light.
    is_white = warped.amin(1, keepdim=True) > WHITE_THRESHOLD
    return torch.where(is_white, warped, recoloured).clamp(0, 1)
