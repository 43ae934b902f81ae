"""Improved precision and recall of generated samples: quality and coverage.

Kynkäänniemi et al., arXiv:1904.06991, section 2.
"""

import torch
from torch import Tensor

NUM_NEIGHBORS = 3


def precision_recall(generated: Tensor, real: Tensor) -> tuple[float, float]:
    """Precision and recall, in [0, 1].

    Args:
        generated: (N, D) features.
        real: (M, D) features.

    Returns:
        Precision: share of generated samples within the manifold of the real ones. Recall: share
        of real samples within the manifold of the generated ones.
    """
    return _share_within(generated, real), _share_within(real, generated)


def nearest_neighbors(queries: Tensor, points: Tensor, chunk: int = 500) -> tuple[Tensor, Tensor]:
    """Nearest of points (M, D) to each query (N, D): distances (N,) and indices (N,)."""
    nearest = [torch.cdist(part, points).min(1) for part in torch.split(queries, chunk)]
    return torch.cat([part.values for part in nearest]), torch.cat(
        [part.indices for part in nearest]
    )


def _share_within(points: Tensor, manifold: Tensor, chunk: int = 1000) -> float:
    """Share of points within the k-nearest-neighbour ball of any point of the manifold."""
    # The nearest neighbour of a point is itself, hence one more.
    radii = [
        torch.cdist(part, manifold).kthvalue(NUM_NEIGHBORS + 1, 1).values
        for part in torch.split(manifold, chunk)
    ]
    radius = torch.cat(radii)
    within = [(torch.cdist(part, manifold) <= radius).any(1) for part in torch.split(points, chunk)]
    return float(torch.cat(within).float().mean())
