"""Whether generated shapes can be told from real ones: 1-NNA by the Chamfer distance, novelty."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from triform.geometry.mesh import Mesh, normalize
from triform.geometry.sampling.surface_points import sample_surface
from triform.metrics.intervals import mean_and_interval, share_interval
from triform.metrics.surface_distance import chamfer_distance
from triform.metrics.two_sample import one_nearest_neighbor_accuracy
from triform.metrics.voxel import novelty

NUM_POINTS = 2048
"""As in arXiv:1906.12320, section 6.1."""


def two_sample_test(generated: Sequence[Mesh], real: Sequence[Mesh]) -> dict[str, Any]:
    """1-NNA of generated against real shapes, each normalized.

    Args:
        generated: N meshes, at least one.
        real: M meshes, best as many.

    Returns:
        `accuracy`, 1/2 at best, and its 95 % interval (Wilson's, as if all were independent).
    """
    points = [_surface_points(mesh) for mesh in (*generated, *real)]
    distances = np.zeros((len(points), len(points)))
    for i, first in enumerate(points):
        for j, second in enumerate(points[:i]):
            distances[i, j] = distances[j, i] = chamfer_distance(first, second)
    n = len(generated)
    accuracy = one_nearest_neighbor_accuracy(
        distances[:n, :n], distances[n:, n:], distances[:n, n:]
    )
    num_right = round(accuracy * len(points))
    return {
        "accuracy": round(accuracy, 4),
        "interval": [round(end, 4) for end in share_interval(num_right, len(points))],
        "generated": n,
        "real": len(real),
    }


def _surface_points(mesh: Mesh) -> np.ndarray:
    return sample_surface(normalize(mesh), NUM_POINTS, seed=0).points


def summarize_novelty(solids: Tensor, training: Tensor) -> dict[str, Any]:
    """1 - IoU of solids (N, R, R, R) with the nearest training solid (M, R, R, R)."""
    distances = novelty(solids, training)
    report: dict[str, Any] = {
        "mean": round(float(distances.mean()), 4),
        "median": round(float(torch.median(distances)), 4),
    }
    if len(distances) > 1:
        mean, half_width = mean_and_interval(distances)
        report["interval"] = [round(mean - half_width, 4), round(mean + half_width, 4)]
    return report
