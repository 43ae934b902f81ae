"""A group norm, ReLU and a 2x2 maximum in one pass, with first and second derivatives.

The usual layers go through the whole map nine times on the way back and far more often when the
gradient is differentiated again, as learning to learn does. Here each order is one kernel that
reads the map twice, from the cache the second time. Maps are channels-last, so that the innermost
loops run over channels; all loops are over one picture, whose groups are normalised alone.

Same function as `MaxPool2d(2)(relu(GroupNorm(x)))`, whose steps may be exchanged: the map that is
kept is a quarter of the size.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor
from torch.autograd.function import once_differentiable

NOWHERE = 4  # in `chosen`: ReLU let nothing through


def norm_pool(maps: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float) -> Tensor:
    """Normalise groups of channels, cut below zero, and keep the largest of each 2x2.

    Args:
        maps: (B, C, H, W) on the CPU, channels-last in memory.
        weight: of the norm, (C,).
        bias: of the norm, (C,).
        groups: of channels.
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
        chosen = np.empty(out.shape, np.uint8)
        means = np.empty((count, groups), out.numpy().dtype)
        scales = np.empty_like(means)
        run_in_threads(
            _forward, count, _array(maps), _array(weight), _array(bias), eps,
            out.numpy(), chosen, means, scales,
        )  # fmt: skip
        ctx.save_for_backward(maps, weight)
        ctx.kept = chosen, means, scales
        return out.permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Any:
        maps, weight = ctx.saved_tensors
        return (
            *_NormPoolBackward.apply(_channels_last(slopes[0]), maps, weight, ctx.kept),
            None,
            None,
        )


class _NormPoolBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, slopes: Tensor, maps: Tensor, weight: Tensor, kept: Any) -> Any:
        out = torch.empty_like(maps)
        for_weight = np.empty((len(maps), len(weight)), _array(weight).dtype)
        for_bias = np.empty_like(for_weight)
        run_in_threads(
            _backward, len(maps), _array(maps), _array(weight), _array(slopes), *kept,
            _array(out), for_weight, for_bias,
        )  # fmt: skip
        ctx.save_for_backward(slopes, maps, weight)
        ctx.kept = kept
        return out, torch.from_numpy(for_weight.sum(0)), torch.from_numpy(for_bias.sum(0))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *given: Tensor) -> Any:
        slopes, maps, weight = ctx.saved_tensors
        for_maps, for_weight, for_bias = given
        for_maps = _channels_last(for_maps)
        of_slopes, of_maps = torch.empty_like(slopes), torch.empty_like(maps)
        of_weight = np.empty((len(maps), len(weight)), _array(weight).dtype)
        run_in_threads(
            _twice, len(maps), *(_array(tensor) for tensor in (maps, weight, slopes)), *ctx.kept,
            *(_array(tensor) for tensor in (for_maps, for_weight, for_bias)),
            *(_array(tensor) for tensor in (of_slopes, of_maps)), of_weight,
        )  # fmt: skip
        return of_slopes, of_maps, torch.from_numpy(of_weight.sum(0)), None


def run_in_threads(kernel: Any, count: int, *arrays: Any) -> None:
    """Let as many threads as torch uses share the pictures."""
    shares = min(torch.get_num_threads(), count)
    if shares == 1:
        kernel(0, count, *arrays)
        return
    edges = [count * number // shares for number in range(shares + 1)]
    rest = [_pool().submit(kernel, *edge, *arrays) for edge in pairwise(edges[1:])]
    kernel(0, edges[1], *arrays)
    for one in rest:
        one.result()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="norm_pool")


def _channels_last(maps: Tensor) -> Tensor:
    return maps.contiguous(memory_format=torch.channels_last)


def _array(tensor: Tensor) -> np.ndarray:
    """The same memory as (B, H, W, C), or (C,)."""
    tensor = tensor.detach()
    array: np.ndarray = (tensor.permute(0, 2, 3, 1) if tensor.ndim == 4 else tensor).numpy()
    return array


@njit(cache=True, nogil=True)
def _forward(first, last, x, weight, bias, eps, out, chosen, means, scales):
    """Statistics of each group; then the largest of each 2x2 and where it was."""
    _, rows, columns, channels = x.shape
    groups = means.shape[1]
    width = channels // groups
    size = rows * columns * width
    sums = np.empty(channels, x.dtype)
    zero = x.dtype.type(0)  # a plain 0 would turn all into 64 bits
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
                    place = np.uint8(0)
                    other = factor[c] * x[n, 2 * i, 2 * j + 1, c]
                    if other > largest:
                        largest, place = other, np.uint8(1)
                    other = factor[c] * x[n, 2 * i + 1, 2 * j, c]
                    if other > largest:
                        largest, place = other, np.uint8(2)
                    other = factor[c] * x[n, 2 * i + 1, 2 * j + 1, c]
                    if other > largest:
                        largest, place = other, np.uint8(3)
                    largest += offset[c]
                    positive = largest > 0
                    out[n, i, j, c] = largest if positive else zero
                    chosen[n, i, j, c] = place if positive else np.uint8(NOWHERE)


@njit(cache=True, nogil=True)
def _backward(first, last, x, weight, slopes, chosen, means, scales, of_x, of_weight, of_bias):
    """First derivatives. With u the slopes that passed and z the normalised map, weight c:

    of_bias = sum u, of_weight = sum u z, of_x = scale (c u - mean(c u) - z mean(c u z)).
    """
    _, rows, columns, channels = x.shape
    groups = means.shape[1]
    width = channels // groups
    size = rows * columns * width
    mean, scale = np.empty(channels, x.dtype), np.empty(channels, x.dtype)
    factor, constant, inclined = np.empty_like(mean), np.empty_like(mean), np.empty_like(mean)
    for n in range(first, last):
        _spread(means[n], scales[n], mean, scale)
        _sum_chosen(n, x, slopes, chosen, mean, scale, of_bias[n], of_weight[n])
        for g in range(groups):
            part = slice(g * width, (g + 1) * width)
            level = (weight[part] * of_bias[n, part]).sum() / size
            tilt = (weight[part] * of_weight[n, part]).sum() / size
            for c in range(g * width, (g + 1) * width):
                factor[c] = scale[c] * weight[c]
                inclined[c] = -scale[c] * scale[c] * tilt
                constant[c] = -scale[c] * level - inclined[c] * mean[c]
        for i in range(rows):
            for j in range(columns):
                for c in range(channels):
                    of_x[n, i, j, c] = constant[c] + inclined[c] * x[n, i, j, c]
        _add_chosen(n, factor, slopes, chosen, of_x)


@njit(cache=True, nogil=True)
def _twice(
    first, last, x, weight, slopes, chosen, means, scales, for_x, for_weight, for_bias,
    of_slopes, of_x, of_weight,
):  # fmt: skip
    """Derivatives of `for_x . of_x + for_weight . of_weight + for_bias . of_bias` of `_backward`.

    The map of slopes is its own transpose, so that the first term is also u times what the
    normalisation makes of `for_x`.
    """
    _, rows, columns, channels = x.shape
    groups = means.shape[1]
    width = channels // groups
    size = rows * columns * width
    mean, scale = np.empty(channels, x.dtype), np.empty(channels, x.dtype)
    u, uz, uh = np.empty_like(mean), np.empty_like(mean), np.empty_like(mean)
    h, hz = np.empty_like(mean), np.empty_like(mean)
    factor, constant, inclined = np.empty_like(mean), np.empty_like(mean), np.empty_like(mean)
    passed, at_x, at_h = np.empty_like(mean), np.empty_like(mean), np.empty_like(mean)
    fixed = np.empty_like(mean)
    zero = x.dtype.type(0)
    for n in range(first, last):
        _spread(means[n], scales[n], mean, scale)
        _sum_chosen(n, x, slopes, chosen, mean, scale, u, uz)
        h[:], hz[:], uh[:] = 0, 0, 0
        for i in range(rows):
            for j in range(columns):
                for c in range(channels):
                    h[c] += for_x[n, i, j, c]
                    hz[c] += for_x[n, i, j, c] * (x[n, i, j, c] - mean[c]) * scale[c]
        for i in range(rows // 2):
            for j in range(columns // 2):
                for c in range(channels):
                    slope = slopes[n, i, j, c] if chosen[n, i, j, c] != NOWHERE else zero
                    uh[c] += slope * _choose(n, i, j, c, chosen, for_x)
        for g in range(groups):
            part = slice(g * width, (g + 1) * width)
            r = scales[n, g]
            level = (weight[part] * u[part]).sum() / size
            tilt = (weight[part] * uz[part]).sum() / size
            h_level, h_tilt = h[part].sum() / size, hz[part].sum() / size
            w_level = (for_weight[part] * u[part]).sum() / size
            w_tilt = (for_weight[part] * uz[part]).sum() / size
            of_scale = (weight[part] * uh[part]).sum() / size - level * h_level - tilt * h_tilt
            e_level = w_level - r * (h_tilt * level + tilt * h_level)
            e_tilt = w_tilt - 2 * r * tilt * h_tilt
            for c in range(g * width, (g + 1) * width):
                of_weight[n, c] = r * (uh[c] - h_level * u[c] - h_tilt * uz[c])
                # of_x = passed u at the chosen + factor h + constant + inclined x
                passed[c] = r * (for_weight[c] - r * h_tilt * weight[c])
                factor[c] = -r * r * tilt
                inclined[c] = -r * (r * e_tilt + r * r * of_scale)
                constant[c] = -r * e_level - inclined[c] * mean[c]
                # of_slopes = fixed + at_h h + at_x x at the chosen
                at_h[c] = r * weight[c]
                at_x[c] = r * (for_weight[c] - r * h_tilt * weight[c])
                fixed[c] = for_bias[c] - r * h_level * weight[c] - at_x[c] * mean[c]
        for i in range(rows):
            for j in range(columns):
                for c in range(channels):
                    of_x[n, i, j, c] = (
                        constant[c] + inclined[c] * x[n, i, j, c] + factor[c] * for_x[n, i, j, c]
                    )
        _add_chosen(n, passed, slopes, chosen, of_x)
        for i in range(rows // 2):
            for j in range(columns // 2):
                for c in range(channels):
                    here = _choose(n, i, j, c, chosen, x)
                    there = _choose(n, i, j, c, chosen, for_x)
                    value = fixed[c] + at_h[c] * there + at_x[c] * here
                    of_slopes[n, i, j, c] = value if chosen[n, i, j, c] != NOWHERE else zero


@njit(cache=True, nogil=True)
def _spread(means, scales, mean, scale):
    """Statistics of groups, once for each channel."""
    width = len(mean) // len(means)
    for g in range(len(means)):
        mean[g * width : (g + 1) * width] = means[g]
        scale[g * width : (g + 1) * width] = scales[g]


@njit(cache=True, nogil=True, inline="always")
def _choose(n, i, j, c, chosen, maps):
    """The value of a 2x2 that was the largest; without branches, so that it runs in vectors."""
    place = chosen[n, i, j, c]
    a, b = maps[n, 2 * i, 2 * j, c], maps[n, 2 * i, 2 * j + 1, c]
    d, e = maps[n, 2 * i + 1, 2 * j, c], maps[n, 2 * i + 1, 2 * j + 1, c]
    above, below = b if place == 1 else a, e if place == 3 else d
    return above if place < 2 else below


@njit(cache=True, nogil=True)
def _sum_chosen(n, x, slopes, chosen, mean, scale, plain, weighted):
    """Per channel the sum of the slopes that passed, plain and times the normalised map."""
    plain[:], weighted[:] = 0, 0
    zero = x.dtype.type(0)
    for i in range(chosen.shape[1]):
        for j in range(chosen.shape[2]):
            for c in range(chosen.shape[3]):
                value = (_choose(n, i, j, c, chosen, x) - mean[c]) * scale[c]
                slope = slopes[n, i, j, c] if chosen[n, i, j, c] != NOWHERE else zero
                plain[c] += slope
                weighted[c] += slope * value


@njit(cache=True, nogil=True)
def _add_chosen(n, factor, slopes, chosen, out):
    """Add slopes times a factor where they passed."""
    zero = out.dtype.type(0)
    for i in range(chosen.shape[1]):
        for j in range(chosen.shape[2]):
            for place in range(4):
                row, column = 2 * i + place // 2, 2 * j + place % 2
                for c in range(chosen.shape[3]):
                    slope = factor[c] * slopes[n, i, j, c]
                    out[n, row, column, c] += slope if chosen[n, i, j, c] == place else zero
