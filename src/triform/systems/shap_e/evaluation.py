"""The verb `evaluate`: held-out loss, retrieval by sampled latents, reconstruction, and a sheet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from triform.base.errors import UsageError
from triform.base.files import atomic_write
from triform.base.logging import get_logger
from triform.base.seeding import generator, hash_seed
from triform.metrics.intervals import mean_and_interval
from triform.metrics.voxel import voxel_iou
from triform.pretrained.named_models import IMAGE_ENCODER, TEXT_ENCODER, select_model
from triform.systems.shap_e.data import (
    Batches,
    Conditions,
    ShapEDataset,
    load_conditions,
    load_dataset,
)
from triform.systems.shap_e.encoder_inputs import field_positions
from triform.systems.shap_e.generation import sample_all
from triform.systems.shap_e.loss import diffusion_loss
from triform.systems.shap_e.output.sample_images import draw_latents, draw_shapes
from triform.systems.shap_e.prompt_evaluation import measure_prompts, training_shapes
from triform.systems.shap_e.trained import Trained
from triform.systems.shap_e.transmitter.transmitter import Transmitter, saturation
from triform.systems.shap_e.verb_config import EvaluateConfig

logger = get_logger(__name__)

SHEET_SHAPES = 8
RANKS = (1, 5)
SHEET_GRID = 64


def evaluate(settings: EvaluateConfig) -> dict[str, Any]:
    """Measure trained weights on the objects of a split, and on prompts.

    Returns:
        Losses; how often the true latent is the nearest one to the latent that was sampled for an
        object's condition, beside chance; with a decoder, IoU of reconstructions beside the
        nearest training shape; each with its 95 % interval. With `prompt_sets` the scores of
        these prompts.

    Raises:
        UsageError: `prompt_sets` of weights that take no prompts or have no decoder.
        UserError: No such weights or library.
    """
    trained = Trained.choose(settings.checkpoint, settings.device)
    config = trained.config
    has_decoder = settings.transmitter is not None or trained.transmitter is not None
    changes = {
        name: value
        for name, value in (("data_dir", settings.data_dir), ("latents_dir", settings.latents_dir))
        if value is not None
    }
    config = config.model_copy(
        update={
            "data": config.data.model_copy(update=changes),
            "model": config.model.model_copy(update=_encoder(trained, settings)),
        }
    )
    if settings.prompt_sets and not (has_decoder and config.model.model_type == "text300M"):
        raise UsageError(
            f"--prompt_sets: {trained.source} wants images or has no decoder; sets of prompts need "
            "weights of text300M and a decoder (--transmitter)"
        )
    dataset = load_dataset(config)
    conditions = load_conditions(config, dataset)
    rows = dataset.rows(settings.split, settings.max_samples)
    batches = Batches(dataset, conditions, rows, config)
    transmitter = trained.decoder(settings.transmitter) if has_decoder else None
    report: dict[str, Any] = {
        "checkpoint": str(trained.source),
        "split": settings.split,
        "objects": len(rows),
    }
    if not rows:
        logger.warning("no objects in the split %s", settings.split)
        return report
    truth = true_latents(trained, batches, rows)
    cond = conditions.select([conditions.of_object[index][0] for index in rows])
    report |= held_out_loss(trained, dataset, rows, truth, cond)
    report["saturated"] = round(float(saturation(truth)), 5)
    sampled = sample_all(trained, settings, cond).cpu()
    report |= retrieval_precision(sampled, truth.cpu(), rows, conditions)
    if transmitter is not None and dataset.fields is not None:
        report |= reconstruction(transmitter, batches, dataset, rows, truth)
    if settings.prompt_sets:
        assert transmitter is not None
        report["prompt_sets"] = measure_prompts(
            trained,
            transmitter,
            settings,
            training_shapes(dataset, config.data),
        )
    if settings.output is not None:
        previous = (
            None if settings.before is None else Trained.choose(settings.before, settings.device)
        )
        others = [] if previous is None else [sample_all(previous, settings, cond).cpu()]
        save(
            settings.output, report, conditions, rows, transmitter, [truth.cpu(), *others, sampled]
        )
    return report


def _encoder(trained: Trained, settings: EvaluateConfig) -> dict[str, str]:
    """Name of the encoder of conditions: the user's, or the file's if a file may name it."""
    model = trained.config.model
    if model.model_type == "text300M":
        name = select_model(
            settings.text_encoder, model.text_encoder, TEXT_ENCODER, source=trained.source
        )
        return {"text_encoder": name}
    name = select_model(
        settings.image_encoder, model.image_encoder, IMAGE_ENCODER, source=trained.source
    )
    return {"image_encoder": name}


def true_latents(trained: Trained, batches: Batches, rows: list[int]) -> Tensor:
    """Latents (N, V, W) of objects, from files or by the run's own encoder."""
    if not trained.config.transmitter.joint:
        return batches.latents(rows).to(trained.device)
    assert trained.transmitter is not None
    parts = []
    with torch.no_grad():
        for index in rows:
            points = batches.encoder_points([index]).to(trained.device)
            random = generator("encode", batches.dataset.entries[index].object_id)
            parts.append(trained.transmitter.encode(points, None, [random]))
    return torch.cat(parts)


def held_out_loss(
    trained: Trained, dataset: ShapEDataset, rows: list[int], truth: Tensor, cond: Tensor
) -> dict[str, Any]:
    """Loss at the fixed steps and noise of each object, as in training's validation."""
    values: dict[str, list[float]] = {}
    with torch.no_grad():
        for position, index in enumerate(rows):
            name = dataset.entries[index].object_id
            t = torch.tensor([hash_seed("step", name) % len(trained.schedule)])
            noise = torch.randn(truth.shape[1:], generator=generator("noise", name))[None]
            x0 = truth[position : position + 1]
            t, noise = t.to(x0.device), noise.to(x0.device)
            x_t = trained.schedule.add_noise(x0, t, noise)
            output = trained.prior(x_t, t, cond[position : position + 1].to(x0.device))
            losses = diffusion_loss(trained.schedule, output, x0, x_t, t, noise)
            for key, value in losses.items():
                values.setdefault(key, []).append(float(value))
    report: dict[str, Any] = {}
    for key, several in values.items():
        report |= with_interval(key, torch.tensor(several, dtype=torch.float64))
    # What the mean latent, without any network, would be wrong by.
    spread = (truth - truth.mean(0)).square().flatten(1).mean(1).mean()
    report["mse of the mean latent"] = round(float(spread), 6)
    return report


def retrieval_precision(
    sampled: Tensor, truth: Tensor, rows: list[int], conditions: Conditions
) -> dict[str, Any]:
    """Share of objects whose true latent is among the k nearest to the sampled one.

    Objects with the same caption count as one another.
    """
    distance = torch.cdist(sampled.flatten(1).float(), truth.flatten(1).float())
    labels = [conditions.captions[index] for index in rows]
    same = torch.tensor([[a == b for b in labels] for a in labels])
    order = distance.argsort(1)
    report: dict[str, Any] = {}
    for rank in RANKS:
        if rank >= len(rows):
            continue
        hits = same.gather(1, order[:, :rank]).any(1).double()
        chance = 1 - torch.stack(
            [
                torch.prod(1 - num / (len(rows) - torch.arange(rank).double())).clamp(min=0)
                for num in same.sum(1).double()
            ]
        )
        report |= with_interval(f"R@{rank}", hits)
        report[f"R@{rank} by chance"] = round(float(chance.mean()), 4)
    return report


def reconstruction(
    transmitter: Transmitter,
    batches: Batches,
    dataset: ShapEDataset,
    rows: list[int],
    truth: Tensor,
) -> dict[str, Any]:
    """IoU of decoded latents with the library's voxels, and of the nearest training shape.

    Where the library was made of several data sets, also the IoU of each.
    """
    target = batches.fields(rows) > 0
    positions = field_positions(target.shape[-1]).to(truth.device)
    with torch.no_grad():
        fields = [transmitter.decoder(latent[None], positions[None])[0] for latent in truth]
    decoded = (torch.cat(fields) > 0).view(target.shape).cpu()
    iou = voxel_iou(decoded[:, None], target[:, None].float())
    report = with_interval("iou", iou.double())
    report["iou median"] = round(float(iou.median()), 4)
    training = batches.fields(dataset.rows("train")) > 0
    flat, others = target.flatten(1).float(), training.flatten(1).float()
    both = flat @ others.T
    nearest = (both / (flat.sum(1)[:, None] + others.sum(1) - both).clamp(min=1)).amax(1)
    report |= with_interval("iou of the nearest training shape", nearest.double())
    sources = [dataset.entries[index].dataset for index in rows]
    names = list(dict.fromkeys(sources))
    for name in names if len(names) > 1 else ():
        part = torch.tensor([source == name for source in sources])
        label = f"{name} ({int(part.sum())})"
        report |= with_interval(f"iou of {label}", iou[part].double())
        report |= with_interval(
            f"iou of the nearest training shape of {label}", nearest[part].double()
        )
    return report


def with_interval(name: str, values: Tensor) -> dict[str, Any]:
    """A mean with its 95 % interval."""
    if len(values) < 2:
        return {name: round(float(values.mean()), 6)}
    mean, half = mean_and_interval(values)
    return {
        name: round(mean, 6),
        f"{name} interval": [round(mean - half, 6), round(mean + half, 6)],
    }


def save(
    folder: Path,
    report: dict[str, Any],
    conditions: Conditions,
    rows: list[int],
    transmitter: Transmitter | None,
    sheets: list[Tensor],
) -> None:
    """Write the report, and a sheet: true latents, those before fine-tuning, and those now."""
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / "report.json", "w") as file:
        file.write(json.dumps(report, indent=1) + "\n")
    labels = [conditions.captions[index] for index in rows[:SHEET_SHAPES]]
    shown = [latents[:SHEET_SHAPES] for latents in sheets]
    path = folder / "sheet.png"
    if transmitter is None:
        draw_latents(shown, labels, path)
        return
    device = next(transmitter.parameters()).device
    draw_shapes(transmitter.decoder, [each.to(device) for each in shown], labels, SHEET_GRID, path)
