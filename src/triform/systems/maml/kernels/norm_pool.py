"""Group norm, ReLU and 2x2 max-pooling in one pass, with first and second derivatives.

The usual layers read the whole map nine times in the backward pass, and far more often where the
gradient is differentiated again, as in MAML. Here each order is one kernel that reads the map
twice, the second time from the cache. Maps are channels-last, so that the innermost loops run over
channels; all loops are over one image, whose groups are normalized alone.

The function is `MaxPool2d(2)(relu(GroupNorm(x)))`. ReLU and maximum may be exchanged, and the map
that is stored is a quarter of the size.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from triform.base.compiled import njit

NO_GRADIENT = 4  # in `argmax`: ReLU was zero


def norm_pool(maps: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float) -> Tensor:
    """Group norm, ReLU and 2x2 max-pooling.

    Args:
        maps: (B, C, H, W) on the CPU, channels-last in memory.
        weight: weight of the norm, (C,).
        bias: bias of the norm, (C,).
        groups: groups of channels.
        eps: added to the variance.

    Returns:
        (B, C, H // 2, W // 2); differentiable twice.
    """
    pooled: Tensor = _NormPool.apply(_channels_last(maps), weight, bias, groups, eps)
    return pooled


class _NormPool(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, maps: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float
    ) -> Tensor:
        count, channels, rows, columns = maps.shape
        out = maps.new_empty(count, rows // 2, columns // 2, channels)
        argmax = np.empty(out.shape, np.uint8)
        means = np.empty((count, groups), out.numpy().dtype)
        scales = np.empty_like(means)
        inputs = (_array(maps), _array(weight), _array(bias), eps)
        run_in_threads(_forward, count, *inputs, out.numpy(), argmax, means, scales)
        ctx.save_for_backward(maps, weight)
        ctx.context = argmax, means, scales
        return out.permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        maps, weight = ctx.saved_tensors
        grad_out = _channels_last(grad_outputs[0])
        return (*_NormPoolBackward.apply(grad_out, maps, weight, ctx.context), None, None)


class _NormPoolBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, grad_out: Tensor, maps: Tensor, weight: Tensor, context: Any) -> Any:
        grad_maps = torch.empty_like(maps)
        grad_weight = np.empty((len(maps), len(weight)), _array(weight).dtype)
        grad_bias = np.empty_like(grad_weight)
        inputs = (_array(maps), _array(weight), _array(grad_out), *context)
        run_in_threads(_backward, len(maps), *inputs, _array(grad_maps), grad_weight, grad_bias)
        ctx.save_for_backward(grad_out, maps, weight)
        ctx.context = context
        grad_weight, grad_bias = grad_weight.sum(0), grad_bias.sum(0)
        return grad_maps, torch.from_numpy(grad_weight), torch.from_numpy(grad_bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        grad_out, maps, weight = ctx.saved_tensors
        grad_grad_maps, grad_grad_weight, grad_grad_bias = grad_outputs
        grad_grad_maps = _channels_last(grad_grad_maps)
        grad_grad_out, grad_maps = torch.empty_like(grad_out), torch.empty_like(maps)
        grad_weight = np.empty((len(maps), len(weight)), _array(weight).dtype)
        run_in_threads(
            _double_backward,
            len(maps),
            *(_array(tensor) for tensor in (maps, weight, grad_out)),
            *ctx.context,
            *(_array(tensor) for tensor in (grad_grad_maps, grad_grad_weight, grad_grad_bias)),
            *(_array(tensor) for tensor in (grad_grad_out, grad_maps)),
            grad_weight,
        )
        return grad_grad_out, grad_maps, torch.from_numpy(grad_weight.sum(0)), None


def run_in_threads(kernel: Callable[..., None], count: int, *arrays: Any) -> None:
    """Run a kernel on `count` images, divided among as many threads as torch uses."""
    num_threads = min(torch.get_num_threads(), count)
    if num_threads == 1:
        kernel(0, count, *arrays)
        return
    edges = [count * index // num_threads for index in range(num_threads + 1)]
    futures = [_pool().submit(kernel, *edge, *arrays) for edge in pairwise(edges[1:])]
    kernel(0, edges[1], *arrays)
    for future in futures:
        future.result()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="norm_pool")


def _channels_last(maps: Tensor) -> Tensor:
    return maps.contiguous(memory_format=torch.channels_last)


def _array(tensor: Tensor) -> np.ndarray:
    """The same memory as an array (B, H, W, C), or (C,)."""
    tensor = tensor.detach()
    array: np.ndarray = (tensor.permute(0, 2, 3, 1) if tensor.ndim == 4 else tensor).numpy()
    return array


@njit(cache=True, nogil=True)
def _forward(first, last, x, weight, bias, eps, out, argmax, means, scales):
    """Statistics of each group, then maximum and argmax of each 2x2 window."""
    _, rows, columns, channels = x.shape
    groups = means.shape[1]
    width = channels // groups
    size = rows * columns * width
    sums = np.empty(channels, x.dtype)
    zero = x.dtype.type(0)  # a sums 0 would turn all into 64 bits
    row, factor, offset = np.empty_like(sums), np.empty_like(sums), np.empty_like(sums)
    for n in range(first, last):
        sums[:] = 0
        for i in range(rows):
            row[:] = 0  # rows first: adding hundreds of numbers one by one would lose three digits
            for j in range(columns):
                for c in range(channels):
                    row[c] += x[n, i, j, c]
            sums += row
        for g in range(groups):
            means[n, g] = sums[g * width : (g + 1) * width].sum() / size
            offset[g * width : (g + 1) * width] = means[n, g]
        sums[:] = 0
        for i in range(rows):
            row[:] = 0
            for j in range(columns):
                for c in range(channels):
                    row[c] += (x[n, i, j, c] - offset[c]) ** 2
            sums += row
        for g in range(groups):
            variance = sums[g * width : (g + 1) * width].sum() / size
            scales[n, g] = 1 / np.sqrt(variance + eps)
            for c in range(g * width, (g + 1) * width):
                factor[c] = weight[c] * scales[n, g]
                offset[c] = bias[c] - means[n, g] * factor[c]
        for i in range(rows // 2):
            for j in range(columns // 2):
                for c in range(channels):
                    largest = factor[c] * x[n, 2 * i, 2 * j, c]
                    position = np.uint8(0)
                    value = factor[c] * x[n, 2 * i, 2 * j + 1, c]
                    if value > largest:
                        largest, position = value, np.uint8(1)
                    value = factor[c] * x[n, 2 * i + 1, 2 * j, c]
                    if value > largest:
                        largest, position = value, np.uint8(2)
                    value = factor[c] * x[n, 2 * i + 1, 2 * j + 1, c]
                    if value > largest:
                        largest, position = value, np.uint8(3)
                    largest += offset[c]
                    positive = largest > 0
                    out[n, i, j, c] = largest if positive else zero
                    argmax[n, i, j, c] = position if positive else np.uint8(NO_GRADIENT)


@njit(cache=True, nogil=True)
def _backward(
    first, last, x, weight, grad_out, argmax, means, scales, grad_x, grad_weight, grad_bias
):
    """First derivatives. With u the gradients at the argmax, z the normalized map, c the weight:

    grad_bias = sum u, grad_weight = sum u z, grad_x = scale (c u - mean(c u) - z mean(c u z)).
    """
    _, rows, columns, channels = x.shape
    groups = means.shape[1]
    width = channels // groups
    size = rows * columns * width
    mean, scale = np.empty(channels, x.dtype), np.empty(channels, x.dtype)
    factor, constant, linear = np.empty_like(mean), np.empty_like(mean), np.empty_like(mean)
    for n in range(first, last):
        _expand_groups(means[n], scales[n], mean, scale)
        _sum_at_argmax(n, x, grad_out, argmax, mean, scale, grad_bias[n], grad_weight[n])
        for g in range(groups):
            part = slice(g * width, (g + 1) * width)
            mean_u = (weight[part] * grad_bias[n, part]).sum() / size
            correlation = (weight[part] * grad_weight[n, part]).sum() / size
            for c in range(g * width, (g + 1) * width):
                factor[c] = scale[c] * weight[c]
                linear[c] = -scale[c] * scale[c] * correlation
                constant[c] = -scale[c] * mean_u - linear[c] * mean[c]
        for i in range(rows):
            for j in range(columns):
                for c in range(channels):
                    grad_x[n, i, j, c] = constant[c] + linear[c] * x[n, i, j, c]
        _add_at_argmax(n, factor, grad_out, argmax, grad_x)


@njit(cache=True, nogil=True)
def _double_backward(
    first,
    last,
    x,
    weight,
    grad_out,
    argmax,
    means,
    scales,
    grad_grad_x,
    grad_grad_weight,
    grad_grad_bias,
    grad_grad_out,
    grad_x,
    grad_weight,
):
    """Second derivatives: those of the inner product of `_backward`'s outputs with `grad_grad_*`.

    The linear map from gradients to `grad_x` is its own transpose, so that its inner product with
    `grad_grad_x` is also that of u with the map applied to `grad_grad_x`, called h below.
    """
    _, rows, columns, channels = x.shape
    groups = means.shape[1]
    width = channels // groups
    size = rows * columns * width
    mean, scale = np.empty(channels, x.dtype), np.empty(channels, x.dtype)
    u, uz, uh = np.empty_like(mean), np.empty_like(mean), np.empty_like(mean)
    h, hz = np.empty_like(mean), np.empty_like(mean)
    factor, constant, linear = np.empty_like(mean), np.empty_like(mean), np.empty_like(mean)
    direct, at_x, at_h = np.empty_like(mean), np.empty_like(mean), np.empty_like(mean)
    offset = np.empty_like(mean)
    zero = x.dtype.type(0)
    for n in range(first, last):
        _expand_groups(means[n], scales[n], mean, scale)
        _sum_at_argmax(n, x, grad_out, argmax, mean, scale, u, uz)
        h[:], hz[:], uh[:] = 0, 0, 0
        for i in range(rows):
            for j in range(columns):
                for c in range(channels):
                    h[c] += grad_grad_x[n, i, j, c]
                    hz[c] += grad_grad_x[n, i, j, c] * (x[n, i, j, c] - mean[c]) * scale[c]
        for i in range(rows // 2):
            for j in range(columns // 2):
                for c in range(channels):
                    gradient = grad_out[n, i, j, c] if argmax[n, i, j, c] != NO_GRADIENT else zero
                    uh[c] += gradient * _at_argmax(n, i, j, c, argmax, grad_grad_x)
        for g in range(groups):
            part = slice(g * width, (g + 1) * width)
            r = scales[n, g]
            mean_u = (weight[part] * u[part]).sum() / size
            correlation = (weight[part] * uz[part]).sum() / size
            h_mean, h_correlation = h[part].sum() / size, hz[part].sum() / size
            w_mean = (grad_grad_weight[part] * u[part]).sum() / size
            w_correlation = (grad_grad_weight[part] * uz[part]).sum() / size
            grad_scale = (
                (weight[part] * uh[part]).sum() / size
                - mean_u * h_mean
                - correlation * h_correlation
            )
            e_mean = w_mean - r * (h_correlation * mean_u + correlation * h_mean)
            e_correlation = w_correlation - 2 * r * correlation * h_correlation
            for c in range(g * width, (g + 1) * width):
                grad_weight[n, c] = r * (uh[c] - h_mean * u[c] - h_correlation * uz[c])
                # grad_x = direct * u at the argmax + factor * h + constant + linear * x
                direct[c] = r * (grad_grad_weight[c] - r * h_correlation * weight[c])
                factor[c] = -r * r * correlation
                linear[c] = -r * (r * e_correlation + r * r * grad_scale)
                constant[c] = -r * e_mean - linear[c] * mean[c]
                # grad_grad_out = offset + at_h * h + at_x * x at the argmax
                at_h[c] = r * weight[c]
                at_x[c] = r * (grad_grad_weight[c] - r * h_correlation * weight[c])
                offset[c] = grad_grad_bias[c] - r * h_mean * weight[c] - at_x[c] * mean[c]
        for i in range(rows):
            for j in range(columns):
                for c in range(channels):
                    grad_x[n, i, j, c] = (
                        constant[c]
                        + linear[c] * x[n, i, j, c]
                        + factor[c] * grad_grad_x[n, i, j, c]
                    )
        _add_at_argmax(n, direct, grad_out, argmax, grad_x)
        for i in range(rows // 2):
            for j in range(columns // 2):
                for c in range(channels):
                    x_value = _at_argmax(n, i, j, c, argmax, x)
                    h_value = _at_argmax(n, i, j, c, argmax, grad_grad_x)
                    value = offset[c] + at_h[c] * h_value + at_x[c] * x_value
                    grad_grad_out[n, i, j, c] = value if argmax[n, i, j, c] != NO_GRADIENT else zero


@njit(cache=True, nogil=True)
def _expand_groups(means, scales, mean, scale):
    """Copy statistics of groups to each of their channels."""
    width = len(mean) // len(means)
    for g in range(len(means)):
        mean[g * width : (g + 1) * width] = means[g]
        scale[g * width : (g + 1) * width] = scales[g]


@njit(cache=True, nogil=True, inline="always")
def _at_argmax(n, i, j, c, argmax, maps):
    """The value of a 2x2 window at its argmax; without branches, so that it is vectorized."""
    position = argmax[n, i, j, c]
    a, b = maps[n, 2 * i, 2 * j, c], maps[n, 2 * i, 2 * j + 1, c]
    d, e = maps[n, 2 * i + 1, 2 * j, c], maps[n, 2 * i + 1, 2 * j + 1, c]
    above, below = b if position == 1 else a, e if position == 3 else d
    return above if position < 2 else below


@njit(cache=True, nogil=True)
def _sum_at_argmax(n, x, grad_out, argmax, mean, scale, sums, weighted_sums):
    """Per channel the sum of gradients at the argmax, and their sum times the normalized map."""
    sums[:], weighted_sums[:] = 0, 0
    zero = x.dtype.type(0)
    for i in range(argmax.shape[1]):
        for j in range(argmax.shape[2]):
            for c in range(argmax.shape[3]):
                value = (_at_argmax(n, i, j, c, argmax, x) - mean[c]) * scale[c]
                gradient = grad_out[n, i, j, c] if argmax[n, i, j, c] != NO_GRADIENT else zero
                sums[c] += gradient
                weighted_sums[c] += gradient * value


@njit(cache=True, nogil=True)
def _add_at_argmax(n, factor, grad_out, argmax, out):
    """Add gradients times a factor at the argmax."""
    zero = out.dtype.type(0)
    for i in range(argmax.shape[1]):
        for j in range(argmax.shape[2]):
            for position in range(4):
                row, column = 2 * i + position // 2, 2 * j + position % 2
                for c in range(argmax.shape[3]):
                    gradient = factor[c] * grad_out[n, i, j, c]
                    out[n, row, column, c] += gradient if argmax[n, i, j, c] == position else zero
