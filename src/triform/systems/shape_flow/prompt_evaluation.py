"""Shapes generated from prompts: agreement with their group, closedness, diversity, a sheet.

Each number stands beside the training shape with the nearest caption and beside real held-out
shapes. Intervals are Wilson's, 95 %.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from triform.geometry.mesh import Mesh, MeshError
from triform.geometry.voxels.surface import is_watertight, main_component_share
from triform.images.contact_sheet import save_contact_sheet
from triform.metrics.intervals import share_interval
from triform.metrics.self_intersection import self_intersecting_faces
from triform.metrics.voxel import diversity
from triform.systems.shape_flow.candidates import Field
from triform.systems.shape_flow.config import EvaluateConfig
from triform.systems.shape_flow.data import ShapeDataset
from triform.systems.shape_flow.generation import ShapeGenerator
from triform.systems.shape_flow.surface import is_empty
from triform.tasks.shape_generation import prompt_scores
from triform.tasks.shape_generation.agreement import (
    agreement,
    agreement_by_group,
    compare_with_lookup,
    most_confused,
    predict_groups,
)
from triform.tasks.shape_generation.categories import group_of
from triform.tasks.shape_generation.mesh_output import Request, draw_mesh
from triform.tasks.shape_generation.voxel_classifier import VoxelClassifier, classifier_input

MAX_SHEET_SHAPES = 60
ONE_PIECE = 0.999
"""Share of the volume from which a mesh counts as being in one piece."""


def measure_generation(
    shapes: ShapeGenerator,
    settings: EvaluateConfig,
    prompts: Sequence[tuple[str, str]],
    classifier: VoxelClassifier,
    dataset: ShapeDataset,
) -> dict[str, Any]:
    """Agreement, closedness and diversity of one shape per prompt.

    Args:
        shapes: generator of the shapes.
        settings: seed, candidates, and the folder for a contact sheet.
        prompts: prompts and their groups.
        classifier: classifier of real shapes.
        dataset: shapes whose training part gives the baseline and whose others are real ones.
    """
    requests = [Request(prompt, settings.seed + i) for i, (prompt, _) in enumerate(prompts)]
    inputs: list[Tensor] = []
    images, labels = [], []
    closed = whole = simple = valid = empty = 0
    stride = max(1, len(prompts) // MAX_SHEET_SHAPES)
    fields = shapes.generate(requests, settings.candidates)
    for index, ((prompt, _), field) in enumerate(zip(prompts, fields, strict=True)):
        inputs.append(_input(field[0]))
        mesh = _mesh_or_none(shapes, field)
        if mesh is None:
            empty += 1
        else:
            is_closed = is_watertight(mesh)
            is_whole = main_component_share(mesh) >= ONE_PIECE
            is_simple = not self_intersecting_faces(mesh).any()
            closed, whole, simple = closed + is_closed, whole + is_whole, simple + is_simple
            valid += is_closed and is_whole and is_simple
        if settings.output is not None and index % stride == 0:
            images.append(draw_mesh(mesh))
            labels.append(prompt)
    if settings.output is not None:
        save_contact_sheet(images, labels, settings.output / "prompts.png", columns=10)
    groups = [group for _, group in prompts]
    predicted = predict_groups(classifier, torch.cat(inputs))
    solids = torch.cat(inputs)
    report: dict[str, Any] = {
        "prompts": len(prompts),
        **agreement(predicted, groups),
        "agreement_by_group": agreement_by_group(predicted, groups),
        "most_confused": most_confused(predicted, groups),
        "watertight": round(closed / len(prompts), 4),
        "one_piece": round(whole / len(prompts), 4),
        "no_self_intersection": round(simple / len(prompts), 4),
        "valid_solid": round(valid / len(prompts), 4),
        "valid_solid_interval": [round(end, 4) for end in share_interval(valid, len(prompts))],
        "empty": empty,
        "diversity_within_group": {
            name: round(diversity(solids[[group == name for group in groups]]), 3)
            for name in dict.fromkeys(groups)
        },
    }
    report["nearest_caption"] = measure_nearest_caption(
        shapes, [prompt for prompt, _ in prompts], groups, predicted, classifier, dataset
    )
    report["real_held_out"] = measure_real(classifier, dataset)
    return report


def measure_nearest_caption(
    shapes: ShapeGenerator,
    prompts: list[str],
    groups: list[str],
    predicted: list[str],
    classifier: VoxelClassifier,
    dataset: ShapeDataset,
) -> dict[str, Any]:
    """Agreement of the training shape whose caption is nearest to each prompt."""
    rows = dataset.rows("train")
    pairs = [
        (caption, row)
        for row in rows
        for caption in dataset.shapes[dataset.shape_index[row]].captions
    ]
    if not pairs:
        return {}
    captions = torch.from_numpy(shapes.encoder.encode([caption for caption, _ in pairs]))
    texts = torch.from_numpy(shapes.encoder.encode(prompts))
    nearest = [pairs[index][1] for index in (texts @ captions.T).argmax(1).tolist()]
    inputs = torch.cat([_input(dataset.table.distances([row])[0]) for row in nearest])
    baseline = predict_groups(classifier, inputs)
    return {
        "different_shapes": len(set(nearest)),
        **compare_with_lookup(predicted, baseline, groups),
    }


def measure_real(classifier: VoxelClassifier, dataset: ShapeDataset) -> dict[str, Any]:
    """Agreement of real shapes of the validation and test parts with the group of their names."""
    report = {}
    for split in ("val", "test"):
        named = [
            (row, group)
            for row in dataset.rows(split)
            if (group := _group(dataset, row)) is not None
        ]
        if named:
            fields = [_input(dataset.table.distances([row])[0]) for row, _ in named]
            predicted = predict_groups(classifier, torch.cat(fields))
            report[split] = {
                "objects": len(named),
                **agreement(predicted, [group for _, group in named]),
            }
    return report


def measure_sets(
    shapes: ShapeGenerator, settings: EvaluateConfig, dataset: ShapeDataset
) -> dict[str, Any]:
    """Scores of the prompt sets; see `tasks.shape_generation.prompt_scores`.

    Args:
        shapes: generator of the shapes.
        settings: names of the sets, their size, the classifier and the seed.
        dataset: shapes whose training part gives the baseline and real shapes.
    """

    def generate(texts: Sequence[str]) -> list[Mesh | None]:
        requests = [Request(text, settings.seed + index) for index, text in enumerate(texts)]
        fields = shapes.generate(requests, settings.candidates)
        return [_mesh_or_none(shapes, field) for field in fields]

    return prompt_scores.measure_sets(generate, settings, dataset.training_shapes(), shapes.encoder)


def _mesh_or_none(shapes: ShapeGenerator, field: Field) -> Mesh | None:
    """The surface of a field; None where it has none."""
    with contextlib.suppress(MeshError):
        return None if is_empty(field[0]) else shapes.mesh(field)
    return None


def _group(dataset: ShapeDataset, row: int) -> str | None:
    shape = dataset.shapes[dataset.shape_index[row]]
    captions = shape.english or shape.captions
    return group_of(captions[0], shape.category) if captions else None


def _input(distance: np.ndarray) -> Tensor:
    return classifier_input(torch.from_numpy(distance < 0)[None, None].float())
