"""Images with transparency: on a background, and as bytes."""

from __future__ import annotations

import torch
from torch import Tensor

from triform.tasks.image_generation.image_splits import to_uint8

WHITE = 1.0


def composite(images: Tensor, background: Tensor | float = WHITE) -> Tensor:
    """RGB images (B, 3, S, S) of RGB or of premultiplied RGBA on a background.

    Args:
        images: (B, 3 or 4, S, S).
        background: A grey value, or colours (B, 3, 1, 1).
    """
    if images.shape[1] == 3:
        return images
    return images[:, :3] + (1 - images[:, 3:]) * background


def random_backgrounds(count: int, device: torch.device) -> Tensor:
    """Colours (count, 3, 1, 1) in [0, 1]."""
    return torch.rand(count, 3, 1, 1, device=device)


def as_bytes(images: Tensor) -> Tensor:
    """Bytes (B, C, S, S) of images; colours are divided by alpha where there is one."""
    if images.shape[1] == 3:
        return to_uint8(images)
    alpha = images[:, 3:].clamp(0, 1)
    colors = images[:, :3] / alpha.clamp(min=1e-3)
    return to_uint8(torch.cat([colors, alpha], dim=1))
