"""A 3x3 convolution with other weights for each task, differentiable as often as one likes.

Tasks stand side by side as groups of channels, which processors convolve at full speed when maps
are channels-last. The second derivative of torch's own grouped convolution goes group by group;
here the convolution and its two derivatives are each other's derivatives.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Precision(NamedTuple):
    """What is multiplied in bf16 (and added up in float32).

    Attributes:
        low: the convolution itself.
        rough: derivatives that nobody differentiates again. Those within a task decide what is
            learned and stay exact; the outermost ones lose digits as in any mixed precision.
    """

    low: bool = False
    rough: bool = False

    def now(self) -> Precision:
        """That of a derivative that is being computed."""
        return Precision(self.rough and not torch.is_grad_enabled(), self.rough)


EXACT = Precision()


def task_conv(maps: Tensor, weight: Tensor, tasks: int, precision: Precision = EXACT) -> Tensor:
    """Convolve the maps of each task with its own weights; same size, zeros around.

    Args:
        maps: (B, T * C, H, W), channels-last in memory.
        weight: (T * D, C, 3, 3), channels-last in memory.
        tasks: T.
        precision: of products.

    Returns:
        (B, T * D, H, W), of the type of `maps`.
    """
    out: Tensor = _Conv.apply(maps, weight, tasks, precision)
    return out


class _Conv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor, weight: Tensor, tasks: int, precision: Precision) -> Tensor:
        ctx.save_for_backward(maps, weight)
        ctx.tasks, ctx.precision = tasks, precision
        given = _lower(maps, precision), _lower(weight, precision)
        out = F.conv2d(*given, padding=1, groups=tasks)
        return out.to(maps.dtype)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Any:
        maps, weight = ctx.saved_tensors
        how = ctx.tasks, ctx.precision.now()
        of_maps = of_weight = None
        if ctx.needs_input_grad[0]:
            of_maps = _ForMaps.apply(slopes[0], weight, *how)
        if ctx.needs_input_grad[1]:
            of_weight = _ForWeight.apply(maps, slopes[0], *how)
        return of_maps, of_weight, None, None


class _ForMaps(torch.autograd.Function):
    """Slopes of the maps from slopes of the output, and the weights."""

    @staticmethod
    def forward(
        ctx: Any, slopes: Tensor, weight: Tensor, tasks: int, precision: Precision
    ) -> Tensor:
        ctx.save_for_backward(slopes, weight)
        ctx.tasks, ctx.precision = tasks, precision
        maps = _unread(slopes, len(slopes), weight.shape[1] * tasks, *slopes.shape[2:])
        return _backward(slopes, maps, weight, tasks, precision, 0)

    @staticmethod
    def backward(ctx: Any, *given: Tensor) -> Any:
        slopes, weight = ctx.saved_tensors
        how = ctx.tasks, ctx.precision.now()
        of_slopes = of_weight = None
        if ctx.needs_input_grad[0]:
            of_slopes = _Conv.apply(given[0], weight, *how)
        if ctx.needs_input_grad[1]:
            of_weight = _ForWeight.apply(given[0], slopes, *how)
        return of_slopes, of_weight, None, None


class _ForWeight(torch.autograd.Function):
    """Slopes of the weights from the maps, and slopes of the output."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, slopes: Tensor, tasks: int, precision: Precision) -> Tensor:
        ctx.save_for_backward(maps, slopes)
        ctx.tasks, ctx.precision = tasks, precision
        weight = _unread(slopes, slopes.shape[1], maps.shape[1] // tasks, 3, 3)
        return _backward(slopes, maps, weight, tasks, precision, 1)

    @staticmethod
    def backward(ctx: Any, *given: Tensor) -> Any:
        maps, slopes = ctx.saved_tensors
        how = ctx.tasks, ctx.precision.now()
        of_maps = of_slopes = None
        if ctx.needs_input_grad[0]:
            of_maps = _ForMaps.apply(slopes, given[0], *how)
        if ctx.needs_input_grad[1]:
            of_slopes = _Conv.apply(maps, given[0], *how)
        return of_maps, of_slopes, None, None


def _backward(
    slopes: Tensor, maps: Tensor, weight: Tensor, tasks: int, precision: Precision, wanted: int
) -> Tensor:
    """One of the two derivatives of a convolution: 0 of the maps, 1 of the weights."""
    given = (_lower(tensor, precision) for tensor in (slopes, maps, weight))
    mask = [wanted == 0, wanted == 1, False]
    out: Tensor = torch.ops.aten.convolution_backward(
        *given, None, [1, 1], [1, 1], [1, 1], False, [0, 0], tasks, mask
    )[wanted]
    return out.to(slopes.dtype)


def _unread(like: Tensor, *shape: int) -> Tensor:
    """What only its size is asked of: memory that nobody fills."""
    return torch.empty(
        shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last
    )


def _lower(tensor: Tensor, precision: Precision) -> Tensor:
    return tensor.bfloat16() if precision.low else tensor
