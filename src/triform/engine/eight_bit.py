"""Weights in eight bits, with a scale for each output: a quarter of the size, to be passed on.

Symmetric and per output channel (Krishnamoorthi, arXiv:1806.08342, section 3.1.4). Only files are
smaller: whoever reads them gets floating-point numbers again.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

SCALE = "@scale"
"""Behind the name of a tensor: its scales."""
SMALLEST = 1024
"""Tensors with fewer numbers cost little and matter much: half precision."""
_LARGEST = 127


def to_eight_bit(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors by name, the large ones as int8 beside their scales.

    Args:
        weights: Of any shape; what is no floating-point number stays as it is.
    """
    made: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        if not tensor.is_floating_point():
            made[name] = tensor
        elif tensor.ndim < 2 or tensor.numel() < SMALLEST:
            made[name] = tensor.half()
        else:
            rows = tensor.float().flatten(1)
            scale = rows.abs().amax(1, keepdim=True).clamp(min=torch.finfo().tiny) / _LARGEST
            made[name] = (rows / scale).round().to(torch.int8).view(tensor.shape)
            made[name + SCALE] = scale[:, 0]
    return made


def from_eight_bit(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What `to_eight_bit` was given, rounded; other tensors as they are.

    Raises:
        ValueError: A scale does not have one number for each output of its tensor.
    """
    made = {}
    for name, tensor in weights.items():
        if name.endswith(SCALE):
            continue
        scale = weights.get(name + SCALE)
        if scale is not None:
            # A scale of another length would blow the tensor up: (1, N) by N scales is (N, N).
            if tensor.ndim < 1 or scale.shape != tensor.shape[:1]:
                raise ValueError(f"{name}{SCALE}: not one scale for each output")
            tensor = tensor.float() * scale.view(-1, *[1] * (tensor.ndim - 1))
        made[name] = tensor
    return made
