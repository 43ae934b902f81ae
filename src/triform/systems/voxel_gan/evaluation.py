"""Measures a trained model: what it keeps of unseen shapes, and what it makes of sentences.

Beside each number stands what remembering alone reaches: the nearest training shape for
reconstruction, the training shape with the nearest caption for prompts (`lookup.py`), real objects
that were held out for the judge. Intervals are 95 %: Wilson's for shares, normal for means.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from triform.base.files import atomic_write
from triform.base.logging import get_logger
from triform.geometry.mesh import MeshError
from triform.geometry.surface import is_watertight, main_component_share
from triform.metrics.intervals import mcnemar_exact, mean_and_interval, share_interval
from triform.metrics.voxel import diversity, pairwise_iou, voxel_iou
from triform.systems.voxel_gan.config import GOOD_IOU, DataConfig, EvaluateConfig
from triform.systems.voxel_gan.data import Objects, load_objects
from triform.systems.voxel_gan.generation import WHOLE_SHARE, Request, ShapeMaker
from triform.systems.voxel_gan.groups import GROUPS, PROMPTS_FILE, read_prompts
from triform.systems.voxel_gan.judge import Judge, JudgeBatches, judge_view, load_judge
from triform.systems.voxel_gan.lookup import TrainingShapes, training_shapes
from triform.systems.voxel_gan.pictures import draw_mesh, save_sheet

logger = get_logger(__name__)

BATCH = 16
SHEET_SHAPES = 60
COPY_DISTANCE = 0.1
"""Nearer to a training shape than this counts as a copy, as `datasets/split.py` counts them."""


def evaluate(settings: EvaluateConfig) -> dict[str, Any]:
    """Reconstruction of held-out objects, then 300 prompts judged, measured and drawn.

    Raises:
        UserError: No such weights, data set or prompt file.
    """
    maker = ShapeMaker(settings)
    prompts = read_prompts(settings.prompts or PROMPTS_FILE)
    judge = load_judge()
    data = DataConfig(
        dataset=settings.dataset,
        download_path=settings.download_path,
        max_samples=settings.max_samples,
        voxel_size=maker.trained.voxel_size,
    )
    objects = load_objects(data)
    training = settings.training_dataset or settings.dataset
    learned = objects
    if training != settings.dataset:
        learned = load_objects(data.model_copy(update={"dataset": training}))
    known = training_shapes(learned)
    report = {
        "checkpoint": str(maker.trained.source),
        "dataset": " ".join(settings.dataset),
        "training_dataset": " ".join(training),
        "reconstruction": measure_reconstruction(maker, objects),
        "generation": measure_generation(maker, settings, prompts, judge, known),
        "real_held_out": measure_real(objects, judge, known),
    }
    if settings.output is not None:
        settings.output.mkdir(parents=True, exist_ok=True)
        with atomic_write(settings.output / "report.json", "w") as file:
            json.dump(report, file, indent=2)
    return report


def measure_reconstruction(maker: ShapeMaker, objects: Objects) -> dict[str, Any]:
    """IoU at p > 0.5 of held-out (test) objects, beside the nearest training shape's.

    The nearest shape is looked for at 32^3 and compared at the full resolution; it is what a
    model would reach that only remembers.
    """
    test, train = objects.rows("test"), objects.rows("train")
    if not len(test) or not len(train):
        return {}
    kept, nearest = [], []
    coarse = torch.cat([judge_view(part) for part in _parts(objects, train)])
    for start in range(0, len(test), BATCH):
        voxels = objects.voxels(test[start : start + BATCH])
        captions = [objects.captions[o] for o in objects.owner[test[start : start + BATCH]]]
        cond = maker.conditions([several[0] if several else "" for several in captions])
        grids = maker.trained.reconstruct(voxels.to(maker.trained.device), cond).cpu()
        kept.append(voxel_iou(grids[:, None], voxels))
        closest = pairwise_iou(judge_view(voxels), coarse).argmax(1).numpy()
        nearest.append(voxel_iou(objects.voxels(train[closest]), voxels))
    ours, theirs = torch.cat(kept), torch.cat(nearest)
    good = int((ours >= GOOD_IOU).sum())
    return {
        "objects": len(test),
        "iou_mean": round(float(ours.mean()), 4),
        "iou_mean_interval": _mean_interval(ours),
        "iou_median": round(float(ours.median()), 4),
        "share_good": round(good / len(ours), 4),
        "share_good_interval": _share_interval(good, len(ours)),
        "nearest_training_shape_iou_mean": round(float(theirs.mean()), 4),
        "nearest_training_shape_iou_mean_interval": _mean_interval(theirs),
        "nearest_training_shape_iou_median": round(float(theirs.median()), 4),
    }


def _parts(objects: Objects, rows: np.ndarray) -> list[Tensor]:
    return [objects.voxels(rows[start : start + 64]) for start in range(0, len(rows), 64)]


def measure_generation(
    maker: ShapeMaker,
    settings: EvaluateConfig,
    rows: list[tuple[str, str]],
    judge: Judge,
    known: TrainingShapes | None = None,
) -> dict[str, Any]:
    """Every prompt once: does the judge agree, is the mesh closed and whole, do shapes differ?

    With the shapes that the model learned from, the same of the baseline and how new shapes are.
    """
    names = list(GROUPS)
    requests = [Request(prompt, settings.seed + i) for i, (prompt, _) in enumerate(rows)]
    agreed: Counter[str] = Counter()
    asked: Counter[str] = Counter(group for _, group in rows)
    confused: Counter[str] = Counter()
    coarse: dict[str, list[Tensor]] = {group: [] for group in asked}
    views: list[Tensor] = []
    right: list[bool] = []
    watertight = whole = empty = 0
    pictures, labels = [], []
    every = max(1, len(rows) // SHEET_SHAPES)
    for number, ((prompt, group), grid) in enumerate(zip(rows, maker.grids(requests), strict=True)):
        occupied = torch.from_numpy(maker.solid(grid))[None, None].float()
        view = judge_view(occupied)
        coarse[group].append(view[0])
        views.append(view[0, 0])
        with torch.no_grad():
            answer = names[int(judge(view).argmax())]
        agreed[group] += answer == group
        right.append(answer == group)
        if answer != group:
            confused[f"{group} -> {answer}"] += 1
        mesh = None
        try:
            mesh = maker.mesh(grid)
            watertight += is_watertight(mesh)
            whole += main_component_share(mesh) > WHOLE_SHARE
        except MeshError:
            empty += 1
        if settings.output is not None and number % every == 0:
            pictures.append(draw_mesh(mesh))
            labels.append(f"{prompt} ({answer})" if answer != group else prompt)
    if settings.output is not None:
        save_sheet(pictures, labels, settings.output / "prompts.png", columns=10)
    total = len(rows)
    beside = {}
    if known is not None and any(known.captions):
        beside = measure_lookup(maker, rows, judge, known, right)
        beside["novelty"] = _novelty(known, torch.stack(views))
    return {
        "prompts": total,
        "agreement": round(sum(agreed.values()) / total, 4),
        "agreement_interval": _share_interval(sum(agreed.values()), total),
        "agreement_by_group": {g: round(agreed[g] / asked[g], 3) for g in names if asked[g]},
        "most_confused": dict(confused.most_common(6)),
        "watertight": round(watertight / total, 4),
        "main_part_over_95_percent": round(whole / total, 4),
        "empty": empty,
        "diversity_within_group": {
            g: round(diversity(torch.stack(grids)), 3) for g, grids in coarse.items()
        },
        **beside,
    }


def measure_lookup(
    maker: ShapeMaker,
    rows: list[tuple[str, str]],
    judge: Judge,
    known: TrainingShapes,
    right: list[bool],
) -> dict[str, Any]:
    """The baseline: for each prompt the training shape whose caption is nearest to it.

    Args:
        maker: whose text encoder compares captions.
        rows: prompts and their groups.
        judge: the same as of the generated shapes.
        known: the shapes that the model learned from.
        right: whether the judge agreed with each generated shape.
    """
    prompts, groups = [prompt for prompt, _ in rows], [group for _, group in rows]
    found = known.nearest_caption(prompts, maker.conditions)
    views = known.views[found][:, None].float()
    agrees = [a == g for a, g in zip(_answers(judge, views), groups, strict=True)]
    of = {group: [a for a, g in zip(agrees, groups, strict=True) if g == group] for group in groups}
    alone, theirs, probability = mcnemar_exact(right, agrees)
    captions, shown = known.verbatim(prompts)
    return {
        "nearest_caption": {
            "shapes": len(known.captions),
            "different_shapes": len(set(found.tolist())),
            "agreement": round(sum(agrees) / len(rows), 4),
            "agreement_interval": _share_interval(sum(agrees), len(rows)),
            "agreement_by_group": {g: round(sum(a) / len(a), 3) for g, a in of.items()},
            "generator_alone_right": alone,
            "nearest_caption_alone_right": theirs,
            "mcnemar_p": round(probability, 4),
        },
        "prompts_that_are_training_captions": captions,
        "prompts_that_are_training_texts": shown,
    }


def measure_real(objects: Objects, judge: Judge, known: TrainingShapes) -> dict[str, Any]:
    """Validation and test objects: how often the judge is right about them, how new they are."""
    report: dict[str, Any] = {}
    for split in ("val", "test"):
        rows = objects.rows(split)
        if not len(rows):
            continue
        views = torch.cat([judge_view(part) for part in _parts(objects, rows)])
        report[split] = {"objects": len(rows), "novelty": _novelty(known, views[:, 0])}
        grouped = JudgeBatches(objects, split, augment=False)
        if len(grouped):
            batch = grouped(range(len(grouped)), torch.Generator())
            wanted = [list(GROUPS)[label] for label in batch["labels"].tolist()]
            right = sum(
                a == g for a, g in zip(_answers(judge, batch["voxels"]), wanted, strict=True)
            )
            report[split] |= {
                "objects_of_a_group": len(wanted),
                "agreement": round(right / len(wanted), 4),
                "agreement_interval": _share_interval(right, len(wanted)),
            }
    return report


def _answers(judge: Judge, views: Tensor) -> list[str]:
    """The judge's group for each view (N, 1, 32, 32, 32)."""
    with torch.no_grad():
        numbers = torch.cat([judge(some).argmax(1) for some in views.split(BATCH)])
    return [list(GROUPS)[number] for number in numbers.tolist()]


def _novelty(known: TrainingShapes, views: Tensor) -> dict[str, Any]:
    """1 - IoU of views (N, 32, 32, 32) with the nearest training shape: mean, interval, median."""
    distances = known.distances(views)
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
    mean, half = mean_and_interval(values)
    return [round(mean - half, 4), round(mean + half, 4)]
