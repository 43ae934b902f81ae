"""Agreement of occupancy grids."""

from __future__ import annotations

import torch
from torch import Tensor


def voxel_iou(predicted: Tensor, real: Tensor) -> Tensor:
    """Intersection over union, shape by shape.

    Args:
        predicted: Occupancy (B, ...) as bool, or as numbers that count as occupied above 0.5.
        real: The same of the other grids.

    Returns:
        (B,) float32 in [0, 1]; two empty grids agree fully.
    """
    a, b = _occupied(predicted), _occupied(real)
    union = (a | b).sum(1)
    return torch.where(union > 0, (a & b).sum(1) / union.clamp(min=1), 1.0)


def pairwise_iou(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of every pair: (N, ...) and (M, ...) to (N, M) float32."""
    a, b = _occupied(first).float(), _occupied(second).float()
    overlap = a @ b.T
    union = a.sum(1)[:, None] + b.sum(1)[None, :] - overlap
    return torch.where(union > 0, overlap / union.clamp(min=1), 1.0)


def diversity(grids: Tensor) -> float:
    """Mean of 1 - IoU over all pairs of N grids; 0 where all are the same or N < 2."""
    count = len(grids)
    if count < 2:
        return 0.0
    iou = pairwise_iou(grids, grids)
    return float((1 - iou).sum() / (count * (count - 1)))


def _occupied(grids: Tensor) -> Tensor:
    flat = grids.flatten(1)
    return flat if flat.dtype == torch.bool else flat > 0.5
