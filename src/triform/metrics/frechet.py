"""Fréchet distance between two sets of features (FID where they are Inception's).

Heusel et al., arXiv:1706.08500, section 5: |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)).
"""

from __future__ import annotations

import torch
from torch import Tensor


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """Distance between Gaussians fitted to (N, D) and (M, D) features.

    Raises:
        ValueError: fewer rows than twice their width: covariances would be guesses.
    """
    if min(len(a), len(b)) < 2 * a.shape[1] or a.shape[1] != b.shape[1]:
        raise ValueError(f"Fréchet distance of {tuple(a.shape)} and {tuple(b.shape)}: too few rows")
    a, b = a.double(), b.double()
    first, second = torch.cov(a.T), torch.cov(b.T)
    # tr (C1 C2)^(1/2) by the eigenvalues of the symmetric C1^(1/2) C2 C1^(1/2)
    values, vectors = torch.linalg.eigh(first)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    middle = torch.linalg.eigvalsh(root @ second @ root).clamp(min=0).sqrt().sum()
    apart = (a.mean(0) - b.mean(0)).square().sum()
    return float(apart + first.trace() + second.trace() - 2 * middle)
