"""Reconstructed meshes against the fine truth: the mesh itself, whatever a model was trained on."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from triform.geometry.mesh import Mesh, normalize
from triform.geometry.voxels.signed_distance import signed_distance, visible_surface
from triform.metrics.intervals import mean_and_interval
from triform.metrics.surface_distance import VOXEL, SurfaceDistance, surface_distance
from triform.metrics.thin_parts import thin_part_recall

FINE_RESOLUTION = 96
NUM_POINTS = 10_000
EMPTY = SurfaceDistance(
    error=0.5 / VOXEL,
    f_score_64=0.0,
    f_score_128=0.0,
    missing=1.0,
    extra=0.0,
    flat_normal_error=float("nan"),
    edge_normal_error=float("nan"),
)
"""Scores of a reconstruction without a surface; its error is half of the shape's longest side."""


def score_reconstruction(prediction: Mesh | None, target: Mesh) -> dict[str, float]:
    """Scores of one reconstruction.

    Args:
        prediction: a closed mesh in the coordinates of the normalized target, in [-1/2, 1/2]^3;
            None where there is no surface.
        target: the true mesh.

    Returns:
        The scores of `SurfaceDistance` against the visible surface; `fine_iou`, the IoU of the
        solids at 96^3, where a part of the target has a thickness of at least 1.1 of these voxels;
        `thin_recall`, the share of the surface of parts thinner than 3/64 that is there, NaN where
        nothing is thin.
    """
    if prediction is None:
        return {**dataclasses.asdict(EMPTY), "fine_iou": 0.0, "thin_recall": 0.0}
    visible = visible_surface(target)
    scores = surface_distance(prediction, visible, count=NUM_POINTS)
    return {
        **dataclasses.asdict(scores),
        "fine_iou": fine_iou(prediction, target),
        "thin_recall": thin_part_recall(prediction, visible)[0],
    }


def fine_iou(prediction: Mesh, target: Mesh, resolution: int = FINE_RESOLUTION) -> float:
    """IoU of the solids of two meshes; see `score_reconstruction`."""
    a = signed_distance(prediction, resolution, keep_thin=False, is_normalized=True).distance < 0
    b = signed_distance(normalize(target), resolution, is_normalized=True).distance < 0
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 1.0


def summarize(scores: Iterable[dict[str, float]]) -> dict[str, Any]:
    """Mean of each score with its 95 % interval, and the median of `fine_iou`.

    NaN is left out; where there is any, `NAME_objects` is the number of the others.
    """
    rows = list(scores)
    report: dict[str, Any] = {"objects": len(rows)}
    for name in rows[0] if rows else ():
        values = torch.tensor([row[name] for row in rows], dtype=torch.float64)
        values = values[~values.isnan()]
        if len(values) < len(rows):
            report[f"{name}_objects"] = len(values)
        if len(values) < 2:
            continue
        mean, half_width = mean_and_interval(values)
        report[name] = round(mean, 4)
        report[f"{name}_interval"] = [round(mean - half_width, 4), round(mean + half_width, 4)]
        if name == "fine_iou":
            report["fine_iou_median"] = round(float(values.quantile(0.5)), 4)
    return report
