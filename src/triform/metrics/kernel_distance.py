"""Kernel distance between two sets of features (KID where they are Inception's).

Bińkowski et al., arXiv:1801.01401, section 3: the unbiased squared MMD with the kernel
(x.y / d + 1)^3, as a mean over subsets.
"""

from __future__ import annotations

import torch
from torch import Tensor

from triform.base.seeding import generator


def kernel_distance(
    a: Tensor, b: Tensor, *, subsets: int = 50, subset_size: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Mean over subsets, and their standard deviation.

    Args:
        a: (N, D) features.
        b: (M, D) features.
        subsets: how many.
        subset_size: rows in each; at most half of the smaller set.
        seed: of the choice.

    Raises:
        ValueError: fewer than four rows, or of another width.
    """
    size = min(subset_size, len(a) // 2, len(b) // 2)
    if size < 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f"kernel distance of {tuple(a.shape)} and {tuple(b.shape)}")
    random = generator("kernel distance", seed)
    values = torch.stack(
        [
            squared_mmd(
                a[torch.randperm(len(a), generator=random)[:size]].double(),
                b[torch.randperm(len(b), generator=random)[:size]].double(),
            )
            for _ in range(subsets)
        ]
    )
    return float(values.mean()), float(values.std(correction=0))


def squared_mmd(a: Tensor, b: Tensor) -> Tensor:
    """Unbiased estimate for (N, D) and (M, D); it may be below zero."""
    n, m = len(a), len(b)
    within_a, within_b, across = _kernel(a, a), _kernel(b, b), _kernel(a, b)
    return (
        (within_a.sum() - within_a.trace()) / (n * (n - 1))
        + (within_b.sum() - within_b.trace()) / (m * (m - 1))
        - 2 * across.mean()
    )


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    return (a @ b.T / a.shape[1] + 1) ** 3
