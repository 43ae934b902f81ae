"""Groups points around centres (farthest points and their neighbours), in plain PyTorch."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from triform.geometry.sampling.farthest import farthest_point_sample

MIN_TREE_POINTS = 4096
"""From this many points on, a tree of boxes is faster on a CPU; it gives the same indices."""


def farthest_indices(points: Tensor, count: int, start: int = 0) -> Tensor:
    """Exact farthest-point sampling: (B, N, 3) to indices (B, count).

    The first index is always `start`, so that the result is deterministic.
    Ties go to the lowest index.
    """
    batch, total, _ = points.shape
    if not 0 < count <= total:
        raise ValueError(f"{count} of {total} points asked for")
    if points.device.type == "cpu" and total >= MIN_TREE_POINTS:
        arrays = points.detach().double().numpy()
        return torch.from_numpy(np.stack([farthest_point_sample(a, count, start) for a in arrays]))
    rows = torch.arange(batch, device=points.device)
    indices = torch.empty(batch, count, dtype=torch.int64, device=points.device)
    # Separate coordinates: three small passes over memory instead of a sum along the last axis.
    x, y, z = points.detach().float().unbind(-1)
    newest = torch.full((batch,), start, dtype=torch.int64, device=points.device)
    nearest = torch.full_like(x, torch.inf)
    for index in range(count):
        indices[:, index] = newest
        dx = x - x[rows, newest, None]
        dy = y - y[rows, newest, None]
        dz = z - z[rows, newest, None]
        distance = dx.square_().add_(dy.square_()).add_(dz.square_())
        torch.minimum(nearest, distance, out=nearest)
        newest = nearest.argmax(1)
    return indices


def nearest_indices(points: Tensor, centers: Tensor, count: int) -> Tensor:
    """The `count` points of (B, N, 3) that are nearest to each of (B, G, 3): (B, G, count)."""
    if count > points.shape[1]:
        raise ValueError(f"{count} neighbours of {points.shape[1]} points asked for")
    points, centers = points.detach().float(), centers.detach().float()
    # |c|^2 is the same for all points of a row and changes no order.
    distances = torch.baddbmm(
        points.square().sum(-1)[:, None], centers, points.transpose(1, 2), alpha=-2
    )
    return distances.topk(count, dim=-1, largest=False, sorted=False).indices


def group_points(
    features: Tensor, num_group: int, group_size: int, num_visible: int = 0
) -> tuple[Tensor, Tensor]:
    """Groups of nearest neighbours around farthest points.

    Args:
        features: (B, N, 3 + C): positions, then other features of each point.
        num_group: Groups.
        group_size: Points M of each group.
        num_visible: Number of groups G, drawn at random for each sample; 0 = all, in order.

    Returns:
        Groups (B, G, M, 3 + C) whose positions are relative to their centre, and centres (B, G, 3).
    """
    points, channels = features[..., :3], features.shape[-1]
    centers = farthest_indices(points, num_group)
    if num_visible:
        visible = torch.rand(centers.shape, device=centers.device).argsort(1)[:, :num_visible]
        centers = centers.gather(1, visible)
    positions = points.gather(1, centers[..., None].expand(-1, -1, 3))
    neighbours = nearest_indices(points, positions, group_size)
    groups = features.gather(1, neighbours.flatten(1)[..., None].expand(-1, -1, channels))
    groups = groups.view(*neighbours.shape, channels)
    offset = torch.nn.functional.pad(positions, (0, channels - 3))
    return groups - offset[:, :, None], positions
