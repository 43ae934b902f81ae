"""The first block of learners of tasks: a 3x3 convolution, group norm, ReLU and 2x2 maximum.

Pictures have one or three channels and no slopes, so that a convolution of them is hardly any
arithmetic and only moves memory: its map is the largest of the whole network. Here it is never
made. Mean and variance of a group follow from means and products of the pixels under the nine
taps, which are few and the same for all weights. Norm and convolution then are one linear map,
with other weights for each picture, whose largest values are kept at once. Where they were is all
that its derivatives of any order need: forth it is `_Picked`, back it is `_Gathered`, and each is
the derivative of the other.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numba import njit
from torch import Tensor
from torch.nn import functional as F

from triform.layers.norm_pool import NOWHERE, run_in_threads

TAPS = 9


class Pictures(NamedTuple):
    """What the first block has to know of B pictures of each of T tasks; K taps are 9 C.

    Attributes:
        taps: (B, T, H // 2, W // 2, 4, K) of each 2x2 what is under the taps at its four places,
            as deviations from the means.
        means: (B, T, K) of what is under each tap.
        products: (B, T, K, K), mean products of two deviations.
    """

    taps: Tensor
    means: Tensor
    products: Tensor


def look_at(pictures: Tensor) -> Pictures:
    """What the first block needs of (T, B, C, H, W); the same for all weights."""
    (tasks, count), (rows, columns) = pictures.shape[:2], pictures.shape[3:]
    taps = F.unfold(pictures.transpose(0, 1).flatten(0, 1), 3, padding=1)
    means = taps.mean(2, keepdim=True)
    apart = taps - means
    products = apart @ apart.transpose(1, 2) / taps.shape[2]
    whole = apart.unflatten(2, (rows, columns))[:, :, : rows // 2 * 2, : columns // 2 * 2]
    squares = whole.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).permute(0, 2, 4, 3, 5, 1)
    shape = count, tasks
    return Pictures(
        squares.flatten(3, 4).unflatten(0, shape).contiguous(),
        means.squeeze(2).unflatten(0, shape),
        products.unflatten(0, shape),
    )


def first_block(
    seen: Pictures, conv: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float
) -> Tensor:
    """The block, for each task by its own weights.

    Args:
        seen: the pictures.
        conv: (T, D, C, 3, 3).
        weight: of the norm, (T, D).
        bias: of the norm, (T, D).
        groups: of the channels of a task.
        eps: added to the variance.

    Returns:
        (B, T * D, H // 2, W // 2), channels-last; differentiable by weights as often as one likes.
    """
    flat = conv.flatten(2)  # (T, D, K)
    channels = torch.einsum("btk,tdk->btd", seen.means, flat)
    by_group = channels.unflatten(2, (groups, -1))
    apart = by_group - by_group.mean(3, keepdim=True)  # each channel's mean from its group's
    spread = (torch.matmul(flat, seen.products) * flat).sum(3)
    variance = (spread.unflatten(2, (groups, -1)) + apart.square()).mean(3, keepdim=True)
    scale = (variance + eps).rsqrt()
    factor = (weight.unflatten(1, (groups, -1)) * scale).flatten(2)
    # Taps are deviations from their means, so that large constant areas cost no digits.
    own = torch.cat(
        [
            factor[:, :, None] * flat.transpose(1, 2),
            (factor * apart.flatten(2) + bias)[:, :, None],
        ],
        2,
    )
    out: Tensor = _Largest.apply(own, seen.taps)
    return out.permute(0, 3, 1, 2)


class _Largest(torch.autograd.Function):
    """Of weights (B, T, K + 1, D), the last of them added, to (B, H // 2, W // 2, T * D)."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, taps: Tensor) -> Tensor:
        out = _empty_maps(own, taps)
        ctx.kept = taps, np.empty(out.shape, np.uint8)
        _run(_pick, own, out, *ctx.kept, True)
        return out

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Any:
        return _Gathered.apply(slopes[0], ctx.kept), None


class _Picked(torch.autograd.Function):
    """The same where it was the largest for other weights."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, kept: Any) -> Tensor:
        ctx.kept = kept
        out = _empty_maps(own, kept[0])
        _run(_pick, own, out, *kept, False)
        return out

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Any:
        return _Gathered.apply(slopes[0], ctx.kept), None


class _Gathered(torch.autograd.Function):
    """Slopes of the weights from those of what was picked."""

    @staticmethod
    def forward(ctx: Any, slopes: Tensor, kept: Any) -> Tensor:
        ctx.kept = kept
        count, tasks, *_, taps = kept[0].shape
        own = slopes.new_empty(count, tasks, taps + 1, slopes.shape[3] // tasks)
        _run(_gather, own, slopes, *kept)
        return own

    @staticmethod
    def backward(ctx: Any, *own: Tensor) -> Any:
        return _Picked.apply(own[0], ctx.kept), None


def _empty_maps(own: Tensor, taps: Tensor) -> Tensor:
    return own.new_empty(len(taps), *taps.shape[2:4], own.shape[1] * own.shape[3])


def _run(kernel: Any, own: Tensor, *given: Any) -> None:
    arrays = [
        one.detach().contiguous().numpy() if isinstance(one, Tensor) else one
        for one in (own, *given)
    ]
    run_in_threads(kernel, len(own), *arrays)


@njit(cache=True, nogil=True)
def _pick(first, last, own, out, under, chosen, anew):
    """The largest of the four values of a 2x2, or the one that was; nothing below zero."""
    tasks, taps, width = own.shape[1], own.shape[2] - 1, own.shape[3]
    a, b, d, e = np.empty((4, width), out.dtype)
    zero = out.dtype.type(0)
    for n in range(first, last):
        for t in range(tasks):
            start = t * width
            for i in range(out.shape[1]):
                for j in range(out.shape[2]):
                    at = under[n, t, i, j]
                    for c in range(width):
                        a[c] = b[c] = d[c] = e[c] = own[n, t, taps, c]
                    for k in range(taps):
                        for c in range(width):
                            weight = own[n, t, k, c]
                            a[c] += weight * at[0, k]
                            b[c] += weight * at[1, k]
                            d[c] += weight * at[2, k]
                            e[c] += weight * at[3, k]
                    if anew:
                        for c in range(width):
                            largest, place = a[c], np.uint8(0)
                            if b[c] > largest:
                                largest, place = b[c], np.uint8(1)
                            if d[c] > largest:
                                largest, place = d[c], np.uint8(2)
                            if e[c] > largest:
                                largest, place = e[c], np.uint8(3)
                            positive = largest > 0
                            out[n, i, j, start + c] = largest if positive else zero
                            chosen[n, i, j, start + c] = place if positive else np.uint8(NOWHERE)
                    else:
                        for c in range(width):
                            place = chosen[n, i, j, start + c]
                            above = b[c] if place == 1 else a[c]
                            below = e[c] if place == 3 else d[c]
                            value = above if place < 2 else below
                            out[n, i, j, start + c] = value if place != NOWHERE else zero


@njit(cache=True, nogil=True)
def _gather(first, last, own, slopes, under, chosen):
    """Sums of slopes times what was under the taps where they passed."""
    tasks, taps, width = own.shape[1], own.shape[2] - 1, own.shape[3]
    a, b, d, e = np.empty((4, width), own.dtype)
    zero = own.dtype.type(0)
    row = np.empty((taps + 1, width), own.dtype)
    for n in range(first, last):
        for t in range(tasks):
            start = t * width
            own[n, t] = 0
            for i in range(slopes.shape[1]):
                row[:] = 0  # hundreds of numbers added one by one would lose digits
                for j in range(slopes.shape[2]):
                    at = under[n, t, i, j]
                    for c in range(width):
                        slope, place = slopes[n, i, j, start + c], chosen[n, i, j, start + c]
                        a[c] = slope if place == 0 else zero
                        b[c] = slope if place == 1 else zero
                        d[c] = slope if place == 2 else zero
                        e[c] = slope if place == 3 else zero
                        row[taps, c] += slope if place != NOWHERE else zero
                    for k in range(taps):
                        for c in range(width):
                            row[k, c] += (
                                a[c] * at[0, k] + b[c] * at[1, k]
                                + d[c] * at[2, k] + e[c] * at[3, k]
                            )  # fmt: skip
                own[n, t] += row
