"""The first block of MAML's embedding: a 3x3 convolution, group norm, ReLU and 2x2 max-pooling.

Images have one or three channels and need no gradient, so that their convolution is little
arithmetic but much memory: its output is the largest map of the network. Here that map is never
stored. Mean and variance of a group follow from means and covariance of the 3x3 patches, which
are small and the same for all weights. Norm and convolution then are one linear map, with other
weights for each image, whose maxima are taken at once. The argmax is all that derivatives of any
order need: `_AtArgmax` reads the linear map at the argmax or is the transpose of that, and each is
the derivative of the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from triform.base.compiled import njit
from triform.systems.maml.kernels.norm_pool import NO_GRADIENT, run_in_threads


class Patches(NamedTuple):
    """The 3x3 patches of B images of each of T episodes, and their statistics; K = 9 C.

    Attributes:
        deviations: (B, T, H // 2, W // 2, 4, K), the four patches of each 2x2 window minus the
            means.
        means: (B, T, K) over all patches of an image.
        covariance: (B, T, K, K) of all patches of an image.
    """

    deviations: Tensor
    means: Tensor
    covariance: Tensor


def extract_patches(images: Tensor) -> Patches:
    """Patches of images (T, B, C, H, W) and their statistics."""
    (episodes, count), (rows, columns) = images.shape[:2], images.shape[3:]
    patches = F.unfold(images.transpose(0, 1).flatten(0, 1), 3, padding=1)
    means = patches.mean(2, keepdim=True)
    deviations = patches - means
    covariance = deviations @ deviations.transpose(1, 2) / patches.shape[2]
    even = deviations.unflatten(2, (rows, columns))[:, :, : rows // 2 * 2, : columns // 2 * 2]
    windows = even.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).permute(0, 2, 4, 3, 5, 1)
    shape = count, episodes
    return Patches(
        windows.flatten(3, 4).unflatten(0, shape).contiguous(),
        means.squeeze(2).unflatten(0, shape),
        covariance.unflatten(0, shape),
    )


def first_block(
    patches: Patches, conv: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float
) -> Tensor:
    """The output of the block, for each episode by its own weights.

    Args:
        patches: patches of the images.
        conv: weight of the convolution, (T, D, C, 3, 3).
        weight: weight of the norm, (T, D).
        bias: bias of the norm, (T, D).
        groups: groups of the channels of an episode.
        eps: added to the variance.

    Returns:
        (B, T * D, H // 2, W // 2), channels-last; differentiable by weights any number of times.
    """
    flat = conv.flatten(2)  # (T, D, K)
    channel_means = torch.einsum("btk,tdk->btd", patches.means, flat)
    by_group = channel_means.unflatten(2, (groups, -1))
    deviations = by_group - by_group.mean(3, keepdim=True)  # of channel means within their group
    channel_variance = (torch.matmul(flat, patches.covariance) * flat).sum(3)
    variance = channel_variance.unflatten(2, (groups, -1)) + deviations.square()
    scale = (variance.mean(3, keepdim=True) + eps).rsqrt()
    factor = (weight.unflatten(1, (groups, -1)) * scale).flatten(2)
    # Patches are deviations from their means, so that large constant areas cost no digits.
    weights = torch.cat(
        [
            factor[:, :, None] * flat.transpose(1, 2),
            (factor * deviations.flatten(2) + bias)[:, :, None],
        ],
        2,
    )
    out: Tensor = _LinearMaxPool.apply(weights, patches.deviations)
    return out.permute(0, 3, 1, 2)


class _LinearMaxPool(torch.autograd.Function):
    """Weights (B, T, K + 1, D), the last one the bias, to (B, H // 2, W // 2, T * D)."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, patches: Tensor) -> Tensor:
        out = _empty_maps(weights, patches)
        ctx.context = patches, np.empty(out.shape, np.uint8)
        _run(_linear_max_pool, weights, out, *ctx.context, True)
        return out

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        return _AtArgmax.apply(grad_outputs[0], ctx.context, True), None


class _AtArgmax(torch.autograd.Function):
    """The linear map of other weights, read at the argmax of the first ones; or its transpose."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, context: Any, is_transposed: bool) -> Tensor:
        ctx.context, ctx.is_transposed = context, is_transposed
        if not is_transposed:
            out = _empty_maps(inputs, context[0])
            _run(_linear_max_pool, inputs, out, *context, False)
            return out
        count, episodes, *_, size = context[0].shape
        weights = inputs.new_empty(count, episodes, size + 1, inputs.shape[3] // episodes)
        _run(_accumulate, weights, inputs, *context)
        return weights

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        return _AtArgmax.apply(grad_outputs[0], ctx.context, not ctx.is_transposed), None, None


def _empty_maps(weights: Tensor, patches: Tensor) -> Tensor:
    return weights.new_empty(len(patches), *patches.shape[2:4], weights.shape[1] * weights.shape[3])


def _run(kernel: Callable[..., None], weights: Tensor, *arguments: Any) -> None:
    arrays = [
        value.detach().contiguous().numpy() if isinstance(value, Tensor) else value
        for value in (weights, *arguments)
    ]
    run_in_threads(kernel, len(weights), *arrays)


@njit(cache=True, nogil=True)
def _linear_max_pool(first, last, weights, out, patches, argmax, find_argmax):
    """Maximum over each 2x2 window after ReLU, or the values at a given argmax."""
    episodes, size, width = weights.shape[1], weights.shape[2] - 1, weights.shape[3]
    a, b, d, e = np.empty((4, width), out.dtype)
    zero = out.dtype.type(0)
    for n in range(first, last):
        for t in range(episodes):
            start = t * width
            for i in range(out.shape[1]):
                for j in range(out.shape[2]):
                    patch = patches[n, t, i, j]
                    for c in range(width):
                        a[c] = b[c] = d[c] = e[c] = weights[n, t, size, c]
                    for k in range(size):
                        for c in range(width):
                            weight = weights[n, t, k, c]
                            a[c] += weight * patch[0, k]
                            b[c] += weight * patch[1, k]
                            d[c] += weight * patch[2, k]
                            e[c] += weight * patch[3, k]
                    if find_argmax:
                        for c in range(width):
                            largest, position = a[c], np.uint8(0)
                            if b[c] > largest:
                                largest, position = b[c], np.uint8(1)
                            if d[c] > largest:
                                largest, position = d[c], np.uint8(2)
                            if e[c] > largest:
                                largest, position = e[c], np.uint8(3)
                            positive = largest > 0
                            out[n, i, j, start + c] = largest if positive else zero
                            argmax[n, i, j, start + c] = (
                                position if positive else np.uint8(NO_GRADIENT)
                            )
                    else:
                        for c in range(width):
                            position = argmax[n, i, j, start + c]
                            above = b[c] if position == 1 else a[c]
                            below = e[c] if position == 3 else d[c]
                            value = above if position < 2 else below
                            out[n, i, j, start + c] = value if position != NO_GRADIENT else zero


@njit(cache=True, nogil=True)
def _accumulate(first, last, weights, grad_out, patches, argmax):
    """Sum gradients times patches at the argmax."""
    episodes, size, width = weights.shape[1], weights.shape[2] - 1, weights.shape[3]
    a, b, d, e = np.empty((4, width), weights.dtype)
    zero = weights.dtype.type(0)
    row = np.empty((size + 1, width), weights.dtype)
    for n in range(first, last):
        for t in range(episodes):
            start = t * width
            weights[n, t] = 0
            for i in range(grad_out.shape[1]):
                row[:] = 0  # hundreds of numbers added one by one would lose digits
                for j in range(grad_out.shape[2]):
                    patch = patches[n, t, i, j]
                    for c in range(width):
                        gradient, position = (
                            grad_out[n, i, j, start + c],
                            argmax[n, i, j, start + c],
                        )
                        a[c] = gradient if position == 0 else zero
                        b[c] = gradient if position == 1 else zero
                        d[c] = gradient if position == 2 else zero
                        e[c] = gradient if position == 3 else zero
                        row[size, c] += gradient if position != NO_GRADIENT else zero
                    for k in range(size):
                        for c in range(width):
                            row[k, c] += (
                                a[c] * patch[0, k]
                                + b[c] * patch[1, k]
                                + d[c] * patch[2, k]
                                + e[c] * patch[3, k]
                            )
                weights[n, t] += row
