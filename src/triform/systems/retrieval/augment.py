"""Pictures with transparency to what the picture encoder sees."""

from __future__ import annotations

import torch
from torch import Tensor


def augment_pictures(rgba: Tensor, generator: torch.Generator) -> Tensor:
    """(N, 4, S, S) uint8 to (N, 3, S, S) float32 in [0, 1], on backgrounds of a random colour."""
    colors = torch.rand(len(rgba), 3, 1, 1, generator=generator)
    return _lay(rgba, colors)


def plain_pictures(rgba: Tensor) -> Tensor:
    """(N, 4, S, S) uint8 to (N, 3, S, S) float32 in [0, 1], on white."""
    return _lay(rgba, torch.ones(len(rgba), 3, 1, 1))


def _lay(rgba: Tensor, colors: Tensor) -> Tensor:
    values = rgba.float() / 255
    alpha = values[:, 3:]
    return values[:, :3] * alpha + colors * (1 - alpha)
