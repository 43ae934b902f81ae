"""Evaluation of trained weights: reconstruction of unseen shapes, and shapes of prompts."""

from __future__ import annotations

import json
from typing import Any

import torch

from triform.base.files import atomic_write
from triform.geometry.mesh import Mesh, MeshError
from triform.metrics.intervals import mean_and_interval
from triform.metrics.voxel import voxel_iou
from triform.systems.shape_flow.candidates import Field
from triform.systems.shape_flow.config import DataConfig, EvaluateConfig
from triform.systems.shape_flow.data import ShapeDataset, load_shape_dataset
from triform.systems.shape_flow.generation import ShapeGenerator
from triform.systems.shape_flow.prompt_evaluation import measure_generation, measure_sets
from triform.systems.shape_flow.realism import measure_realism
from triform.tasks.shape_generation.categories import PROMPTS_FILE, read_prompts
from triform.tasks.shape_generation.reconstruction import score_reconstruction, summarize
from triform.tasks.shape_generation.voxel_classifier import load_classifier

BATCH_SIZE = 8


def evaluate(settings: EvaluateConfig) -> dict[str, Any]:
    """Evaluate reconstruction of held-out (test) shapes and, with a flow, shapes of prompts.

    Raises:
        UserError: No such weights, data set or prompt file.
    """
    shapes = ShapeGenerator(settings)
    data = DataConfig(
        dataset=settings.dataset,
        download_path=settings.download_path,
        max_samples=settings.max_samples,
        resolution=shapes.trained.config.data.resolution,
    )
    dataset = load_shape_dataset(data)
    report: dict[str, Any] = {
        "checkpoint": str(shapes.trained.source),
        "dataset": " ".join(settings.dataset),
    }
    if settings.reconstruction:
        report["reconstruction"] = measure_reconstruction(shapes, dataset)
    if shapes.trained.layout_flow is not None:
        prompts = read_prompts(settings.prompts or PROMPTS_FILE)
        report["generation"] = measure_generation(
            shapes, settings, prompts, load_classifier(), dataset
        )
        report["realism"] = measure_realism(shapes, settings, dataset)
        if settings.prompt_sets:
            report["prompt_sets"] = measure_sets(shapes, settings, dataset)
    if settings.output is not None:
        with atomic_write(settings.output / "report.json", "w") as file:
            json.dump(report, file, indent=2)
    return report


def measure_reconstruction(shapes: ShapeGenerator, dataset: ShapeDataset) -> dict[str, Any]:
    """Reconstruction of test shapes, beside the nearest training shape.

    The nearest training shape, by IoU of the signs on the model's own grid, is the result of a
    model that only memorizes. Scores against the fine truth are those of
    `tasks.shape_generation.reconstruction`.
    """
    test, train = dataset.rows("test"), dataset.rows("train")
    if not len(test):
        return {}
    iou, fine, nearest_iou, nearest_fine = [], [], [], []
    solids = _Solids(dataset, train)
    for start in range(0, len(test), BATCH_SIZE):
        rows = test[start : start + BATCH_SIZE]
        distance, colors = dataset.fields(rows)
        device = shapes.trained.device
        fields = shapes.decode(shapes.trained.encode(distance.to(device), colors.to(device)))
        for row, truth, field in zip(rows, distance[:, 0], fields, strict=True):
            inside = (truth < 0)[None]
            iou.append(voxel_iou(torch.from_numpy(field[0] < 0)[None], inside))
            target = dataset.table.shapes[row].load()
            fine.append(score_reconstruction(_mesh_or_none(shapes, field), target))
            if len(train):
                nearest = dataset.table.distances([train[solids.nearest(inside)]])[0]
                nearest_iou.append(voxel_iou(torch.from_numpy(nearest < 0)[None], inside))
                mesh = _mesh_or_none(shapes, (nearest, field[1]))
                nearest_fine.append(score_reconstruction(mesh, target))
    report = {"own_grid_iou": _summarize_iou(torch.cat(iou)), "fine_truth": summarize(fine)}
    if nearest_iou:
        report["nearest_training_shape"] = {
            "own_grid_iou": _summarize_iou(torch.cat(nearest_iou)),
            "fine_truth": summarize(nearest_fine),
        }
    return report


class _Solids:
    """Signs of training shapes, packed, to find the nearest one."""

    def __init__(self, dataset: ShapeDataset, rows: Any):
        self.solids = [
            torch.from_numpy(dataset.table.distances(rows[start : start + 64]) < 0)
            for start in range(0, len(rows), 64)
        ]

    def nearest(self, inside: torch.Tensor) -> int:
        """Position of the training shape with the largest IoU with a solid (1, R, R, R)."""
        scores = [voxel_iou(part, inside.expand(len(part), -1, -1, -1)) for part in self.solids]
        return int(torch.cat(scores).argmax())


def _mesh_or_none(shapes: ShapeGenerator, field: Field) -> Mesh | None:
    """The surface of a field; None where it has none."""
    try:
        return shapes.mesh(field)
    except MeshError:
        return None


def _summarize_iou(iou: torch.Tensor) -> dict[str, Any]:
    report: dict[str, Any] = {
        "iou_mean": round(float(iou.mean()), 4),
        "iou_median": round(float(iou.median()), 4),
    }
    if len(iou) > 1:
        mean, half_width = mean_and_interval(iou)
        report["iou_interval"] = [round(mean - half_width, 4), round(mean + half_width, 4)]
    return report
