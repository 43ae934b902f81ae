"""Evaluation of trained weights: reconstruction of unseen shapes, and generation from prompts.

Each number stands beside a baseline of memorized training shapes: the nearest one for
reconstruction, the one with the nearest caption for prompts (`nearest_neighbor.py`), and real
held-out shapes for the classifier. Intervals are 95 %: Wilson's for shares, normal for means.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from triform.base.files import atomic_write
from triform.geometry.mesh import Mesh, MeshError
from triform.geometry.voxels.surface import is_watertight, main_component_share
from triform.images.contact_sheet import save_contact_sheet
from triform.metrics.intervals import mean_and_interval, share_interval
from triform.metrics.self_intersection import self_intersecting_faces
from triform.metrics.voxel import diversity, pairwise_iou, voxel_iou
from triform.systems.voxel_gan.classifier import ClassifierBatches
from triform.systems.voxel_gan.config import GOOD_IOU, DataConfig, EvaluateConfig
from triform.systems.voxel_gan.data import VoxelDataset, load_voxel_dataset
from triform.systems.voxel_gan.generation import (
    MIN_MAIN_COMPONENT_SHARE,
    ShapeGenerator,
    is_empty,
)
from triform.systems.voxel_gan.nearest_neighbor import TrainingShapes, training_shapes
from triform.tasks.shape_generation import prompt_scores
from triform.tasks.shape_generation.agreement import (
    agreement,
    agreement_by_group,
    compare_with_lookup,
    most_confused,
    predict_groups,
)
from triform.tasks.shape_generation.categories import GROUPS, PROMPTS_FILE, read_prompts
from triform.tasks.shape_generation.mesh_output import Request, draw_mesh
from triform.tasks.shape_generation.reconstruction import score_reconstruction, summarize
from triform.tasks.shape_generation.voxel_classifier import (
    VoxelClassifier,
    classifier_input,
    load_classifier,
)

BATCH_SIZE = 16
MAX_SHEET_SHAPES = 60
COPY_DISTANCE = 0.1
"""A generated shape nearer to a training shape is a copy; the threshold of `datasets/split.py`."""


def evaluate(settings: EvaluateConfig) -> dict[str, Any]:
    """Evaluate reconstruction of held-out shapes and generation from 300 prompts.

    Raises:
        UserError: No such weights, data set or prompt file.
    """
    generator = ShapeGenerator(settings)
    prompts = read_prompts(settings.prompts or PROMPTS_FILE)
    classifier = load_classifier()
    data = DataConfig(
        dataset=settings.dataset,
        download_path=settings.download_path,
        max_samples=settings.max_samples,
        voxel_size=generator.trained.voxel_size,
    )
    dataset = load_voxel_dataset(data)
    training_names = settings.training_dataset or settings.dataset
    training_dataset = dataset
    if training_names != settings.dataset:
        training_dataset = load_voxel_dataset(data.model_copy(update={"dataset": training_names}))
    training = training_shapes(training_dataset)
    report = {
        "checkpoint": str(generator.trained.source),
        "dataset": " ".join(settings.dataset),
        "training_dataset": " ".join(training_names),
        "reconstruction": measure_reconstruction(
            generator, dataset, fine_truth=settings.fine_truth
        ),
        "generation": measure_generation(generator, settings, prompts, classifier, training),
        "real_held_out": measure_real(dataset, classifier, training),
    }
    if settings.prompt_sets:
        report["prompt_sets"] = measure_sets(generator, settings, training_dataset)
    if settings.output is not None:
        with atomic_write(settings.output / "report.json", "w") as file:
            json.dump(report, file, indent=2)
    return report


def measure_sets(
    generator: ShapeGenerator, settings: EvaluateConfig, training_dataset: VoxelDataset
) -> dict[str, Any]:
    """Score the prompt sets by a classifier of other objects; see `prompt_scores`.

    Args:
        generator: the model.
        settings: names of the sets, their size, the classifier and the seed.
        training_dataset: the training shapes; the classifier saw none of them.
    """

    def generate(texts: Sequence[str]) -> list[Mesh | None]:
        requests = [Request(text, settings.seed + index) for index, text in enumerate(texts)]
        return [
            None if is_empty(generator.occupancy(voxels)) else _mesh_or_none(generator, voxels)
            for voxels in generator.generate(requests)
        ]

    return prompt_scores.measure_sets(
        generate, settings, training_dataset.training_shapes(), generator.encoder
    )


def measure_reconstruction(
    generator: ShapeGenerator, dataset: VoxelDataset, *, fine_truth: bool = False
) -> dict[str, Any]:
    """Reconstruction of held-out (test) shapes, beside the nearest training shape.

    IoU at p > 0.5 on the model's own voxels. The nearest training shape, found at 32^3 and compared
    at the full resolution, is the result of a model that only memorizes.

    Args:
        generator: the model.
        dataset: shapes with their splits.
        fine_truth: also compare the meshes with the true ones, see
            `tasks.shape_generation.reconstruction`.
    """
    test, train = dataset.rows("test"), dataset.rows("train")
    if not len(test) or not len(train):
        return {}
    model_iou, nearest_iou, fine_scores = [], [], []
    train_inputs = torch.cat(_classifier_inputs(dataset, train))
    for start in range(0, len(test), BATCH_SIZE):
        rows = test[start : start + BATCH_SIZE]
        voxels = dataset.voxels(rows)
        captions = [dataset.captions[index] for index in dataset.shape_index[rows]]
        cond = generator.conditions([texts[0] if texts else "" for texts in captions])
        reconstructions = generator.trained.reconstruct(
            voxels.to(generator.trained.device), cond
        ).cpu()
        model_iou.append(voxel_iou(reconstructions[:, None], voxels))
        nearest = pairwise_iou(classifier_input(voxels), train_inputs).argmax(1).numpy()
        nearest_iou.append(voxel_iou(dataset.voxels(train[nearest]), voxels))
        if fine_truth:
            for row, probabilities in zip(rows, reconstructions.numpy(), strict=True):
                mesh = _mesh_or_none(generator, probabilities)
                fine_scores.append(score_reconstruction(mesh, dataset.table.shapes[row].load()))
    iou, baseline = torch.cat(model_iou), torch.cat(nearest_iou)
    num_good = int((iou >= GOOD_IOU).sum())
    return {
        "objects": len(test),
        "iou_mean": round(float(iou.mean()), 4),
        "iou_mean_interval": _mean_interval(iou),
        "iou_median": round(float(iou.median()), 4),
        "share_good": round(num_good / len(iou), 4),
        "share_good_interval": _share_interval(num_good, len(iou)),
        "nearest_training_shape_iou_mean": round(float(baseline.mean()), 4),
        "nearest_training_shape_iou_mean_interval": _mean_interval(baseline),
        "nearest_training_shape_iou_median": round(float(baseline.median()), 4),
        **({"fine_truth": summarize(fine_scores)} if fine_truth else {}),
    }


def _mesh_or_none(generator: ShapeGenerator, probabilities: np.ndarray) -> Mesh | None:
    """The surface of probabilities (R, R, R); None where they have none."""
    try:
        return generator.mesh(probabilities)
    except MeshError:
        return None


def measure_generation(
    generator: ShapeGenerator,
    settings: EvaluateConfig,
    prompts: Sequence[tuple[str, str]],
    classifier: VoxelClassifier,
    training: TrainingShapes | None = None,
) -> dict[str, Any]:
    """Agreement with the classifier, closedness and diversity of one shape per prompt.

    With training shapes, also the agreement of the baseline and the novelty of the shapes.

    Args:
        generator: generator of the shapes.
        settings: seed, and the folder for a contact sheet.
        prompts: prompts and their groups.
        classifier: classifier of real shapes.
        training: the training shapes with their captions.
    """
    requests = [Request(prompt, settings.seed + i) for i, (prompt, _) in enumerate(prompts)]
    inputs: list[Tensor] = []
    predictions: list[str] = []
    num_watertight = num_connected = num_simple = num_valid = num_empty = 0
    images, labels = [], []
    stride = max(1, len(prompts) // MAX_SHEET_SHAPES)
    generated = generator.generate(requests)
    for index, ((prompt, group), voxels) in enumerate(zip(prompts, generated, strict=True)):
        occupancy = torch.from_numpy(generator.occupancy(voxels))[None, None].float()
        inputs.append(classifier_input(occupancy))
        predictions += predict_groups(classifier, inputs[-1])
        mesh = None
        try:
            if is_empty(occupancy.numpy()):
                num_empty += 1
            else:
                mesh = generator.mesh(voxels)
                is_closed = is_watertight(mesh)
                is_whole = main_component_share(mesh) > MIN_MAIN_COMPONENT_SHARE
                is_simple = not self_intersecting_faces(mesh).any()
                num_watertight += is_closed
                num_connected += is_whole
                num_simple += is_simple
                num_valid += is_closed and is_whole and is_simple
        except MeshError:
            num_empty += 1
        if settings.output is not None and index % stride == 0:
            images.append(draw_mesh(mesh))
            wrong = f" ({predictions[-1]})" if predictions[-1] != group else ""
            labels.append(prompt + wrong)
    if settings.output is not None:
        save_contact_sheet(images, labels, settings.output / "prompts.png", columns=10)
    groups = [group for _, group in prompts]
    shapes = torch.cat(inputs)
    report = {
        "prompts": len(prompts),
        **agreement(predictions, groups),
        "agreement_by_group": agreement_by_group(predictions, groups, list(GROUPS)),
        "most_confused": most_confused(predictions, groups),
        "watertight": round(num_watertight / len(prompts), 4),
        "main_part_over_95_percent": round(num_connected / len(prompts), 4),
        "no_self_intersection": round(num_simple / len(prompts), 4),
        "valid_solid": round(num_valid / len(prompts), 4),
        "valid_solid_interval": [round(end, 4) for end in share_interval(num_valid, len(prompts))],
        "empty": num_empty,
        "diversity_within_group": {
            name: round(diversity(shapes[[group == name for group in groups]]), 3)
            for name in dict.fromkeys(groups)
        },
    }
    if training is not None and any(training.captions):
        report |= measure_nearest_caption(generator, prompts, classifier, training, predictions)
        report["novelty"] = _novelty(training, shapes[:, 0])
    return report


def measure_nearest_caption(
    generator: ShapeGenerator,
    prompts: Sequence[tuple[str, str]],
    classifier: VoxelClassifier,
    training: TrainingShapes,
    predictions: Sequence[str],
) -> dict[str, Any]:
    """Agreement of the baseline: the training shape with the nearest caption of each prompt.

    Args:
        generator: embeds captions.
        prompts: prompts and their groups.
        classifier: the classifier of the generated shapes.
        training: the training shapes with their captions.
        predictions: group that the classifier predicted for each generated shape.
    """
    texts, groups = [prompt for prompt, _ in prompts], [group for _, group in prompts]
    nearest = training.nearest_caption(texts, generator.conditions)
    baseline = predict_groups(classifier, training.voxels[nearest][:, None].float())
    num_captions, num_training_texts = training.count_verbatim(texts)
    return {
        "nearest_caption": {
            "shapes": len(training.captions),
            "different_shapes": len(set(nearest.tolist())),
            **compare_with_lookup(predictions, baseline, groups),
        },
        "prompts_that_are_training_captions": num_captions,
        "prompts_that_are_training_texts": num_training_texts,
    }


def measure_real(
    dataset: VoxelDataset, classifier: VoxelClassifier, training: TrainingShapes
) -> dict[str, Any]:
    """Novelty of validation and test shapes, and the classifier's accuracy on them."""
    report: dict[str, Any] = {}
    for split in ("val", "test"):
        rows = dataset.rows(split)
        if not len(rows):
            continue
        inputs = torch.cat(_classifier_inputs(dataset, rows))
        report[split] = {"objects": len(rows), "novelty": _novelty(training, inputs[:, 0])}
        batches = ClassifierBatches(dataset, split, augment=False)
        if len(batches):
            batch = batches(range(len(batches)), torch.Generator())
            groups = [list(GROUPS)[label] for label in batch["labels"].tolist()]
            predictions = predict_groups(classifier, batch["voxels"])
            report[split] |= {
                "objects_of_a_group": len(groups),
                **agreement(predictions, groups),
            }
    return report


def _classifier_inputs(dataset: VoxelDataset, rows: np.ndarray) -> list[Tensor]:
    return [
        classifier_input(dataset.voxels(rows[start : start + 64]))
        for start in range(0, len(rows), 64)
    ]


def _novelty(training: TrainingShapes, voxels: Tensor) -> dict[str, Any]:
    """1 - IoU of shapes (N, 32, 32, 32) with the nearest training shape: mean, interval, median."""
    distances = training.distances(voxels)
    return {
        "mean": round(float(distances.mean()), 4),
        "interval": _mean_interval(distances),
        "median": round(float(distances.median()), 4),
        "share_below_0.1": round(float((distances < COPY_DISTANCE).float().mean()), 4),
    }


def _share_interval(successes: int, total: int) -> list[float]:
    return [round(end, 4) for end in share_interval(successes, total)]


def _mean_interval(values: Tensor) -> list[float]:
    if len(values) < 2:
        return []
    mean, half_width = mean_and_interval(values)
    return [round(mean - half_width, 4), round(mean + half_width, 4)]
