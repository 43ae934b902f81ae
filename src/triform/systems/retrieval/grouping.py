"""Cuts point clouds into overlapping groups, without any extension that has to be compiled."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from triform.geometry.farthest import farthest_points

MANY_POINTS = 4096
"""From here on a processor finds far points sooner by a tree of boxes: the same points."""


def farthest_indices(points: Tensor, count: int, start: int = 0) -> Tensor:
    """Exact farthest-point sampling: (B, N, 3) to indices (B, count).

    The first point is always number `start`, so that the same cloud gives the same answer.
    Ties go to the lowest index.
    """
    batch, total, _ = points.shape
    if not 0 < count <= total:
        raise ValueError(f"{count} of {total} points asked for")
    if points.device.type == "cpu" and total >= MANY_POINTS:
        clouds = points.detach().double().numpy()
        return torch.from_numpy(np.stack([farthest_points(c, count, start) for c in clouds]))
    rows = torch.arange(batch, device=points.device)
    chosen = torch.empty(batch, count, dtype=torch.int64, device=points.device)
    # Coordinates apart: three small passes over memory instead of a sum along the last axis.
    x, y, z = points.detach().float().unbind(-1)
    newest = torch.full((batch,), start, dtype=torch.int64, device=points.device)
    nearest = torch.full_like(x, torch.inf)
    for number in range(count):
        chosen[:, number] = newest
        dx = x - x[rows, newest, None]
        dy = y - y[rows, newest, None]
        dz = z - z[rows, newest, None]
        distance = dx.square_().add_(dy.square_()).add_(dz.square_())
        torch.minimum(nearest, distance, out=nearest)
        newest = nearest.argmax(1)
    return chosen


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
    """Groups of neighbours around points that lie far apart.

    Args:
        features: (B, N, 3 + C): positions and, behind them, whatever belongs to a point.
        num_group: Groups.
        group_size: Points M of each group.
        num_visible: Only so many groups G, drawn for each cloud; 0 = all of them, in order.

    Returns:
        Groups (B, G, M, 3 + C) whose positions are relative to their centre, and centres (B, G, 3).
    """
    points, channels = features[..., :3], features.shape[-1]
    centers = farthest_indices(points, num_group)
    if num_visible:
        drawn = torch.rand(centers.shape, device=centers.device).argsort(1)[:, :num_visible]
        centers = centers.gather(1, drawn)
    positions = points.gather(1, centers[..., None].expand(-1, -1, 3))
    near = nearest_indices(points, positions, group_size)
    groups = features.gather(1, near.flatten(1)[..., None].expand(-1, -1, channels))
    groups = groups.view(*near.shape, channels)
    shift = torch.nn.functional.pad(positions, (0, channels - 3))
    return groups - shift[:, :, None], positions
