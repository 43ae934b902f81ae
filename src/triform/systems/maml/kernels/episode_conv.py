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
    out: Tensor = _Conv.apply(maps, weight, episodes, precision)
    return out


class _Conv(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, maps: Tensor, weight: Tensor, episodes: int, precision: Precision
    ) -> Tensor:
        ctx.save_for_backward(maps, weight)
        ctx.options = episodes, precision
        out = F.conv2d(_cast(maps, precision), _cast(weight, precision), padding=1, groups=episodes)
        return out.to(maps.dtype)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        maps, weight = ctx.saved_tensors
        options = ctx.options[0], ctx.options[1].of_derivative()
        grad_maps = grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_maps = _ConvGradMaps.apply(grad_outputs[0], weight, *options)
        if ctx.needs_input_grad[1]:
            grad_weight = _ConvGradWeight.apply(maps, grad_outputs[0], *options)
        return grad_maps, grad_weight, None, None


class _ConvGradMaps(torch.autograd.Function):
    """Gradient of the maps from the gradient of the output, and the weights."""

    @staticmethod
    def forward(
        ctx: Any, grad_out: Tensor, weight: Tensor, episodes: int, precision: Precision
    ) -> Tensor:
        ctx.save_for_backward(grad_out, weight)
        ctx.options = episodes, precision
        maps = _empty(grad_out, len(grad_out), weight.shape[1] * episodes, *grad_out.shape[2:])
        return _convolution_backward(grad_out, maps, weight, episodes, precision, 0)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        grad_out, weight = ctx.saved_tensors
        options = ctx.options[0], ctx.options[1].of_derivative()
        grad_grad_out = grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_grad_out = _Conv.apply(grad_outputs[0], weight, *options)
        if ctx.needs_input_grad[1]:
            grad_weight = _ConvGradWeight.apply(grad_outputs[0], grad_out, *options)
        return grad_grad_out, grad_weight, None, None


class _ConvGradWeight(torch.autograd.Function):
    """Gradient of the weights from the maps, and the gradient of the output."""

    @staticmethod
    def forward(
        ctx: Any, maps: Tensor, grad_out: Tensor, episodes: int, precision: Precision
    ) -> Tensor:
        ctx.save_for_backward(maps, grad_out)
        ctx.options = episodes, precision
        weight = _empty(grad_out, grad_out.shape[1], maps.shape[1] // episodes, 3, 3)
        return _convolution_backward(grad_out, maps, weight, episodes, precision, 1)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        maps, grad_out = ctx.saved_tensors
        options = ctx.options[0], ctx.options[1].of_derivative()
        grad_maps = grad_grad_out = None
        if ctx.needs_input_grad[0]:
            grad_maps = _ConvGradMaps.apply(grad_out, grad_outputs[0], *options)
        if ctx.needs_input_grad[1]:
            grad_grad_out = _Conv.apply(maps, grad_outputs[0], *options)
        return grad_maps, grad_grad_out, None, None


def _convolution_backward(
    grad_out: Tensor, maps: Tensor, weight: Tensor, episodes: int, precision: Precision, index: int
) -> Tensor:
    """One of the two gradients of a convolution: 0 of the maps, 1 of the weights."""
    inputs = (_cast(tensor, precision) for tensor in (grad_out, maps, weight))
    mask = [index == 0, index == 1, False]
    out: Tensor = torch.ops.aten.convolution_backward(
        *inputs, None, [1, 1], [1, 1], [1, 1], False, [0, 0], episodes, mask
    )[index]
    return out.to(grad_out.dtype)


def _empty(like: Tensor, *shape: int) -> Tensor:
    """A tensor of which only the shape is used."""
    return torch.empty(
        shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last
    )


def _cast(tensor: Tensor, precision: Precision) -> Tensor:
    return tensor.bfloat16() if precision.bf16 else tensor
