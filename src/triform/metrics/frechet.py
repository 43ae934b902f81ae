"""Fréchet distance between two sets of features (FID for features of Inception).

Heusel et al., arXiv:1706.08500, section 5: |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)).
"""

import torch
from torch import Tensor


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """Distance between Gaussians fitted to (N, D) and (M, D) features.

    Raises:
        ValueError: Fewer rows than twice their width: covariances would be unreliable.
    """
    if min(len(a), len(b)) < 2 * a.shape[1] or a.shape[1] != b.shape[1]:
        raise ValueError(f"Fréchet distance of {tuple(a.shape)} and {tuple(b.shape)}: too few rows")
    a, b = a.double(), b.double()
    cov_a, cov_b = torch.cov(a.T), torch.cov(b.T)
    # tr (C1 C2)^(1/2) from the eigenvalues of the symmetric C1^(1/2) C2 C1^(1/2)
    eigenvalues, eigenvectors = torch.linalg.eigh(cov_a)
    sqrt_a = eigenvectors * eigenvalues.clamp(min=0).sqrt() @ eigenvectors.T
    trace_sqrt = torch.linalg.eigvalsh(sqrt_a @ cov_b @ sqrt_a).clamp(min=0).sqrt().sum()
    mean_difference = (a.mean(0) - b.mean(0)).square().sum()
    return float(mean_difference + cov_a.trace() + cov_b.trace() - 2 * trace_sqrt)
