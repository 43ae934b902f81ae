"""A 3x3 convolution with other weights for each episode, differentiable any number of times.

Episodes are groups of channels, which CPUs convolve at full speed where feature maps are
channels-last. The second derivative of torch's own grouped convolution is computed group by
group; here the convolution and its two derivatives are each other's derivatives.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Precision(NamedTuple):
    """Which products are in bf16 (accumulated in float32).

    Attributes:
        bf16: the convolution itself.
        outer_bf16: derivatives that are not differentiated again. Those of inner steps decide
            what is learned and stay exact; outer ones lose digits as in any mixed precision.
    """

    bf16: bool = False
    outer_bf16: bool = False

    def of_derivative(self) -> Precision:
        """The precision of a derivative that is being computed."""
        return Precision(self.outer_bf16 and not torch.is_grad_enabled(), self.outer_bf16)


FLOAT32 = Precision()


def episode_conv(
    maps: Tensor, weight: Tensor, episodes: int, precision: Precision = FLOAT32
) -> Tensor:
    """Convolve the maps of each episode with its own weights; same size, zero padding.

    Args:
        maps: (B, T * C, H, W), channels-last in memory.
        weight: (T * D, C, 3, 3), channels-last in memory.
        episodes: T.
        precision: precision of products.

    Returns:
        (B, T * D, H, W), of the type of `maps`.
    """
    out: Tensor = _ConvPart.apply(OUT, maps, weight, episodes, precision)
    return out


OUT, MAPS, WEIGHT = range(3)


class _ConvPart(torch.autograd.Function):
    """The output of a convolution, or its gradient by the maps or the weights.

    Each is a part of the inner product <out, maps * weights>. That is linear in all three, so that
    its derivative by one is a function of the two others, and so are the derivatives of that.
    """

    @staticmethod
    def forward(
        ctx: Any, part: int, first: Tensor, second: Tensor, episodes: int, precision: Precision
    ) -> Tensor:
        """Compute a part from the two others, in the order OUT, MAPS, WEIGHT."""
        ctx.save_for_backward(first, second)
        ctx.options = part, episodes, precision
        inputs = [t.bfloat16() if precision.bf16 else t for t in (first, second)]
        if part == OUT:
            out = F.conv2d(inputs[0], inputs[1], padding=1, groups=episodes)
            return out.to(first.dtype)
        shape = (len(first), second.shape[1] * episodes, *first.shape[2:])
        if part == WEIGHT:
            shape = (first.shape[1], second.shape[1] // episodes, 3, 3)
        # A tensor of which only the shape is used.
        unused = torch.empty(
            shape, dtype=inputs[0].dtype, device=first.device, memory_format=torch.channels_last
        )
        inputs.insert(part, unused)
        mask = [part == MAPS, part == WEIGHT, False]
        gradients = torch.ops.aten.convolution_backward(
            *inputs, None, [1, 1], [1, 1], [1, 1], False, [0, 0], episodes, mask
        )
        gradient: Tensor = gradients[part - MAPS]
        return gradient.to(first.dtype)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        part, episodes, precision = ctx.options
        tensors = list(ctx.saved_tensors)
        tensors.insert(part, grad_outputs[0])
        gradients = []
        others = [index for index in (OUT, MAPS, WEIGHT) if index != part]
        for index, is_needed in zip(others, ctx.needs_input_grad[1:3], strict=True):
            factors = [tensor for i, tensor in enumerate(tensors) if i != index]
            options = (episodes, precision.of_derivative())
            gradients.append(_ConvPart.apply(index, *factors, *options) if is_needed else None)
        return None, *gradients, None, None
