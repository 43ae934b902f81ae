"""Quantize weights to int8 with a scale per output channel: a quarter of the file size.

Symmetric and per output channel (Krishnamoorthi, arXiv:1806.08342, section 3.1.4). Only files are
smaller: reading dequantizes.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

SCALE = "@scale"
"""Suffix of the name of a tensor's scales."""
MIN_SIZE = 1024
"""Tensors with fewer values are small and sensitive: stored in half precision."""
_MAX_INT8 = 127


def quantize_int8(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Quantize large tensors to int8, with their scales beside them.

    Args:
        weights: Name -> tensor; integer tensors stay as they are.
    """
    result: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        if not tensor.is_floating_point():
            result[name] = tensor
        elif tensor.ndim < 2 or tensor.numel() < MIN_SIZE:
            result[name] = tensor.half()
        else:
            rows = tensor.float().flatten(1)
            scale = rows.abs().amax(1, keepdim=True).clamp(min=torch.finfo().tiny) / _MAX_INT8
            result[name] = (rows / scale).round().to(torch.int8).view(tensor.shape)
            result[name + SCALE] = scale[:, 0]
    return result


def dequantize_int8(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Dequantize the result of `quantize_int8`; other tensors stay as they are.

    Raises:
        ValueError: A scale does not have one number for each output of its tensor.
    """
    result = {}
    for name, tensor in weights.items():
        if name.endswith(SCALE):
            continue
        scale = weights.get(name + SCALE)
        if scale is not None:
            # A scale of another length would broadcast: (1, N) times N scales is (N, N).
            if tensor.ndim < 1 or scale.shape != tensor.shape[:1]:
                raise ValueError(f"{name}{SCALE}: not one scale for each output")
            tensor = tensor.float() * scale.view(-1, *[1] * (tensor.ndim - 1))
        result[name] = tensor
    return result
