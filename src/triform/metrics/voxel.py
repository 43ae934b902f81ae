"""Metrics of voxels: IoU and diversity."""

from __future__ import annotations

import torch
from torch import Tensor


def voxel_iou(prediction: Tensor, target: Tensor) -> Tensor:
    """Intersection over union of each shape.

    Args:
        prediction: Occupancy (B, ...) as bool, or as numbers that are occupied above 0.5.
        target: The same of the ground truth.

    Returns:
        (B,) float32 in [0, 1]; 1 for two empty shapes.
    """
    a, b = _occupied(prediction), _occupied(target)
    union = (a | b).sum(1)
    return torch.where(union > 0, (a & b).sum(1) / union.clamp(min=1), 1.0)


def pairwise_iou(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of every pair: (N, ...) and (M, ...) to (N, M) float32."""
    a, b = _occupied(first).float(), _occupied(second).float()
    overlap = a @ b.T
    union = a.sum(1)[:, None] + b.sum(1)[None, :] - overlap
    return torch.where(union > 0, overlap / union.clamp(min=1), 1.0)


def diversity(voxels: Tensor) -> float:
    """Mean of 1 - IoU over all pairs of N shapes (N, ...); 0 for N < 2."""
    count = len(voxels)
    if count < 2:
        return 0.0
    iou = pairwise_iou(voxels, voxels)
    return float((1 - iou).sum() / (count * (count - 1)))


def novelty(voxels: Tensor, training: Tensor, chunk_size: int = 256) -> Tensor:
    """1 - IoU of each shape with the nearest training shape or its mirror image.

    The same of held-out real shapes says how far a new shape usually is.

    Args:
        voxels: Occupancy (M, X, Y, Z).
        training: Occupancy (N, X, Y, Z) of the training shapes, N > 0.
        chunk_size: Training shapes that are compared at a time.

    Returns:
        (M,) float32 in [0, 1].
    """
    nearest = torch.zeros(len(voxels))
    for chunk in torch.split(training, chunk_size):
        for candidates in (chunk, chunk.flip(1)):  # axis 1 is x
            nearest = torch.maximum(nearest, pairwise_iou(voxels, candidates).max(1).values)
    return 1 - nearest


def _occupied(voxels: Tensor) -> Tensor:
    flat = voxels.flatten(1)
    return flat if flat.dtype == torch.bool else flat > 0.5
