"""Kernel distance between two sets of features (KID for features of Inception).

Bińkowski et al., arXiv:1801.01401, section 3: the unbiased squared MMD with the kernel
(x.y / d + 1)^3, averaged over subsets.
"""

import torch
from torch import Tensor

from triform.base.seeding import generator


def kernel_distance(
    a: Tensor, b: Tensor, *, subsets: int = 50, subset_size: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Mean and standard deviation of the squared MMD over random subsets.

    Args:
        a: (N, D) features.
        b: (M, D) features.
        subsets: Number of subsets.
        subset_size: Rows of each; at most half of the smaller set.
        seed: Seed of the subsets.

    Raises:
        ValueError: Fewer than four rows, or different widths.
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
    """Unbiased estimate of the squared MMD of (N, D) and (M, D) features; it may be negative."""
    n, m = len(a), len(b)
    k_aa, k_bb, k_ab = _kernel(a, a), _kernel(b, b), _kernel(a, b)
    return (
        (k_aa.sum() - k_aa.trace()) / (n * (n - 1))
        + (k_bb.sum() - k_bb.trace()) / (m * (m - 1))
        - 2 * k_ab.mean()
    )


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    return (a @ b.T / a.shape[1] + 1) ** 3
