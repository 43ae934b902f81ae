"""Encodings of positions, colours and directions by sines of many frequencies (NeRF)."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def encode(x: Tensor, degrees: int) -> Tensor:
    """Values (..., C) and their sines and cosines of `degrees` frequencies: (..., C (1 + 2 D))."""
    scales = 2.0 ** torch.arange(degrees, device=x.device, dtype=x.dtype)
    scaled = (x[..., None, :] * scales[:, None]).flatten(-2)
    return torch.cat([x, torch.cat([scaled, scaled + math.pi / 2], -1).sin()], -1)
