"""How many made pictures look real, and how many real ones can be made.

Improved precision and recall, Kynkäänniemi et al., arXiv:1904.06991, section 2.
"""

from __future__ import annotations

import torch
from torch import Tensor

NEIGHBOURS = 3


def precision_recall(made: Tensor, real: Tensor) -> tuple[float, float]:
    """Shares in [0, 1].

    Args:
        made: (N, D) features.
        real: (M, D) features.

    Returns:
        Precision: made ones that lie among the real ones. Recall: the other way round.
    """
    return _inside(made, real), _inside(real, made)


def nearest(of: Tensor, among: Tensor, chunk: int = 500) -> tuple[Tensor, Tensor]:
    """For each row (N, D) the nearest row (M, D): distances (N,) and numbers (N,)."""
    found = [torch.cdist(part, among).min(1) for part in of.split(chunk)]
    return torch.cat([each.values for each in found]), torch.cat([each.indices for each in found])


def _inside(points: Tensor, manifold: Tensor, chunk: int = 1000) -> float:
    """Share of points within the k-nearest-neighbour ball of any point of the manifold."""
    radii = torch.cat(
        [torch.cdist(part, manifold).kthvalue(NEIGHBOURS + 1, 1).values  # itself is the first
         for part in manifold.split(chunk)]
    )  # fmt: skip
    within = [(torch.cdist(part, manifold) <= radii).any(1) for part in points.split(chunk)]
    return float(torch.cat(within).float().mean())
