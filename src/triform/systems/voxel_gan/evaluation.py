"""Measures a trained model: what it keeps of unseen shapes, and what it makes of sentences."""

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
from triform.metrics.voxel import diversity, pairwise_iou, voxel_iou
from triform.systems.voxel_gan.config import GOOD_IOU, DataConfig, EvaluateConfig
from triform.systems.voxel_gan.data import Objects, load_objects
from triform.systems.voxel_gan.generation import WHOLE_SHARE, Request, ShapeMaker
from triform.systems.voxel_gan.groups import GROUPS, PROMPTS_FILE, read_prompts
from triform.systems.voxel_gan.judge import Judge, judge_view, load_judge
from triform.systems.voxel_gan.pictures import draw_mesh, save_sheet

logger = get_logger(__name__)

BATCH = 16
NEAREST_SIZE = 32
SHEET_SHAPES = 60


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
    report = {
        "checkpoint": str(maker.trained.source),
        "dataset": " ".join(settings.dataset),
        "reconstruction": measure_reconstruction(maker, objects),
        "generation": measure_generation(maker, settings, prompts, judge),
    }
    if settings.output is not None:
        settings.output.mkdir(parents=True, exist_ok=True)
        with atomic_write(settings.output / "report.json", "w") as file:
            json.dump(report, file, indent=2)
    return report


def measure_reconstruction(maker: ShapeMaker, objects: Objects) -> dict[str, float]:
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
    return {
        "objects": len(test),
        "iou_mean": round(float(ours.mean()), 4),
        "iou_median": round(float(ours.median()), 4),
        "share_good": round(float((ours >= GOOD_IOU).float().mean()), 4),
        "nearest_training_shape_iou_mean": round(float(theirs.mean()), 4),
        "nearest_training_shape_iou_median": round(float(theirs.median()), 4),
    }


def _parts(objects: Objects, rows: np.ndarray) -> list[Tensor]:
    return [objects.voxels(rows[start : start + 64]) for start in range(0, len(rows), 64)]


def measure_generation(
    maker: ShapeMaker, settings: EvaluateConfig, rows: list[tuple[str, str]], judge: Judge
) -> dict[str, Any]:
    """Every prompt once: does the judge agree, is the mesh closed and whole, do shapes differ?"""
    names = list(GROUPS)
    requests = [Request(prompt, settings.seed + i) for i, (prompt, _) in enumerate(rows)]
    agreed: Counter[str] = Counter()
    asked: Counter[str] = Counter(group for _, group in rows)
    confused: Counter[str] = Counter()
    coarse: dict[str, list[Tensor]] = {group: [] for group in asked}
    watertight = whole = empty = 0
    pictures, labels = [], []
    every = max(1, len(rows) // SHEET_SHAPES)
    for number, ((prompt, group), grid) in enumerate(zip(rows, maker.grids(requests), strict=True)):
        occupied = torch.from_numpy(maker.solid(grid))[None, None].float()
        view = judge_view(occupied)
        coarse[group].append(view[0])
        with torch.no_grad():
            answer = names[int(judge(view).argmax())]
        agreed[group] += answer == group
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
    return {
        "prompts": total,
        "agreement": round(sum(agreed.values()) / total, 4),
        "agreement_by_group": {g: round(agreed[g] / asked[g], 3) for g in names if asked[g]},
        "most_confused": dict(confused.most_common(6)),
        "watertight": round(watertight / total, 4),
        "main_part_over_95_percent": round(whole / total, 4),
        "empty": empty,
        "diversity_within_group": {
            g: round(diversity(torch.stack(grids)), 3) for g, grids in coarse.items()
        },
    }
