"""Generated beside held-out real shapes: each real one's caption is a prompt."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from triform.datasets.load import PARAMETRIC_SOURCES
from triform.geometry.mesh import MeshError
from triform.systems.shape_flow.config import EvaluateConfig
from triform.systems.shape_flow.data import ShapeDataset
from triform.systems.shape_flow.generation import ShapeGenerator
from triform.systems.shape_flow.surface import is_empty
from triform.tasks.shape_generation.categories import group_of
from triform.tasks.shape_generation.mesh_output import Request
from triform.tasks.shape_generation.realism import summarize_novelty, two_sample_test
from triform.tasks.shape_generation.voxel_classifier import classifier_input

NUM_GROUPS = 3
"""The largest groups of held-out shapes."""
CHUNK_SIZE = 64


def measure_realism(
    shapes: ShapeGenerator, settings: EvaluateConfig, dataset: ShapeDataset
) -> dict[str, Any]:
    """1-NNA and novelty within the largest groups of the real shapes of `val` and `test`.

    An empty shape is left out of the 1-NNA and counted. Novelty is measured against all training
    shapes, at 32^3; beside it that of the real shapes.
    """
    rows_of = _largest_groups(dataset)
    training = _solids(dataset, dataset.rows("train"))
    report: dict[str, Any] = {}
    for group, rows in rows_of.items():
        captions = [dataset.shapes[dataset.shape_index[row]].english[0] for row in rows]
        requests = [
            Request(caption, settings.seed + index) for index, caption in enumerate(captions)
        ]
        meshes, solids = [], []
        for distance, colors in shapes.generate(requests, settings.candidates):
            solids.append(_solid(distance))
            with contextlib.suppress(MeshError):
                if not is_empty(distance):
                    meshes.append(shapes.mesh((distance, colors)))
        real = [dataset.table.shapes[row].load() for row in rows]
        report[group] = {
            "empty": len(rows) - len(meshes),
            "one_nearest_neighbor": two_sample_test(meshes, real) if meshes else None,
            "novelty": summarize_novelty(torch.cat(solids), training),
            "novelty_of_real": summarize_novelty(_solids(dataset, np.asarray(rows)), training),
        }
    return report


def _largest_groups(dataset: ShapeDataset) -> dict[str, list[int]]:
    """Rows of real held-out shapes with an English caption, of the largest groups."""
    groups: dict[str, list[int]] = {}
    for split in ("val", "test"):
        for row in dataset.rows(split).tolist():
            shape = dataset.shapes[dataset.shape_index[row]]
            if shape.source in PARAMETRIC_SOURCES or not shape.english:
                continue
            if (group := group_of(shape.english[0], shape.category)) is not None:
                groups.setdefault(group, []).append(row)
    sizes = Counter({group: len(rows) for group, rows in groups.items()})
    return {group: groups[group] for group, _ in sizes.most_common(NUM_GROUPS)}


def _solids(dataset: ShapeDataset, rows: np.ndarray) -> Tensor:
    """Solids (N, 32, 32, 32) bool of rows of the table."""
    chunks = [
        _solid(dataset.table.distances(rows[start : start + CHUNK_SIZE]))
        for start in range(0, len(rows), CHUNK_SIZE)
    ]
    return torch.cat([torch.zeros(0, 32, 32, 32, dtype=torch.bool), *chunks])


def _solid(distance: np.ndarray) -> Tensor:
    """Distances (R, R, R) or (N, R, R, R) to solids (N, 32, 32, 32) bool."""
    inside = torch.from_numpy(distance < 0).float()
    return classifier_input(inside.reshape(-1, 1, *inside.shape[-3:]))[:, 0] > 0.5
