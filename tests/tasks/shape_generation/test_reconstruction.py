"""Scores of reconstructions whose values follow from their geometry."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from triform.geometry.mesh import Mesh
from triform.metrics.surface_distance import VOXEL
from triform.tasks.shape_generation.reconstruction import (
    fine_iou,
    score_reconstruction,
    summarize,
)


def box(*extents: float, center: tuple[float, ...] = (0, 0, 0)) -> Mesh:
    solid = trimesh.creation.box(extents)
    return Mesh(solid.vertices + np.array(center), solid.faces)


def test_iou_of_boxes_by_hand():
    """Half of the target: 1/2. A box moved by a quarter of its length: 3/5."""
    target = box(1, 0.5, 0.25)
    assert fine_iou(target, target) == 1.0
    assert fine_iou(box(0.5, 0.5, 0.25), target) == 0.5
    moved = box(0.5, 0.5, 0.25, center=(0.125, 0, 0))
    assert fine_iou(moved, box(0.5, 0.5, 0.25)) < 0.5  # the target is normalized, this one is not
    assert fine_iou(box(0.75, 0.5, 0.25, center=(0.125, 0, 0)), target) == 0.75


def test_prediction_keeps_its_place():
    """The same box in another unit and place is the same target."""
    target = box(200, 100, 50, center=(7, 8, 9))
    assert fine_iou(box(1, 0.5, 0.25), target) == 1.0


def test_scores_of_a_shifted_box():
    """Moved by 0.4 voxels along x, the faces across x are off by that, the others by nothing."""
    shift = 0.4 * VOXEL
    scores = score_reconstruction(box(0.5, 0.5, 0.5, center=(shift, 0, 0)), box(1, 1, 1))
    assert scores["missing"] > 0.5
    target = box(1, 1, 1)
    scores = score_reconstruction(box(1 - 2 * shift, 1, 1), target)
    assert scores["error"] == pytest.approx(0.4 / 3, rel=0.05)
    assert (scores["missing"], scores["extra"], scores["f_score_128"]) == (0.0, 0.0, 1.0)
    # 0.6 fine voxels on each side: of 96 layers 94 are left.
    assert scores["fine_iou"] == 94 / 96


def test_nothing_is_worst():
    scores = score_reconstruction(None, box(1, 1, 1))
    assert (scores["fine_iou"], scores["f_score_64"], scores["missing"]) == (0.0, 0.0, 1.0)
    assert scores["error"] == 32


def test_summary_by_hand():
    rows = [{"fine_iou": 0.5, "error": 1.0}, {"fine_iou": 0.9, "error": float("nan")}]
    report = summarize(rows)
    # Standard error sqrt(0.08 / 2) = 0.2.
    assert report["fine_iou"] == 0.7 and report["fine_iou_median"] == 0.7
    assert report["fine_iou_interval"] == [round(0.7 - 1.96 * 0.2, 3), round(0.7 + 1.96 * 0.2, 3)]
    assert "error" not in report and report["objects"] == 2
    assert summarize([]) == {"objects": 0}
