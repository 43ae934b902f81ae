"""The verb `evaluate`: agreement with the prompts, realism, diversity, copies and time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from triform.base.errors import UsageError, UserError
from triform.base.seeding import generator
from triform.engine.checkpoints.finding import find_checkpoint
from triform.engine.device import pick_device
from triform.metrics.image_quality import share_of_copies
from triform.metrics.intervals import Z95, share_interval
from triform.metrics.kernel_distance import kernel_distance
from triform.pretrained.image_features import image_features
from triform.systems.text_to_image.classifier import (
    ClassifierSystem,
    Labels,
    TrainedClassifier,
    image_labels,
)
from triform.systems.text_to_image.compositing import composite
from triform.systems.text_to_image.config import EvaluateConfig
from triform.systems.text_to_image.data import CaptionedImages
from triform.systems.text_to_image.trained import Trained
from triform.tasks.captioning.data import load_table
from triform.tasks.image_generation.image_splits import to_float, to_uint8
from triform.tasks.image_generation.nearest_neighbors import save_nearest_neighbors

MIN_PROMPTS = 4
"""Fewest images of a split whose distribution can be compared."""
DIVERSITY_PROMPTS = 50
"""Prompts of which several images are compared with each other."""


def evaluate(settings: EvaluateConfig) -> dict[str, Any]:
    """Generate images of the captions of a split, and measure them.

    Returns:
        `agreement`: share of the images that the classifier takes for what the prompt names, of
        the final images, the decoder's (`base`), the training image of the nearest caption
        (`nearest_caption`) and the split's own images (`real`), each with its 95 % interval;
        `kernel_distance` of final and decoded images to the split's, and of training images
        (`floor`); `diversity`: mean distance of features of images of one prompt, as a share of
        that of real images of one content; `copies`; `milliseconds_per_image`.

    Raises:
        UsageError: No such split or data.
        UserError: No such weights.
    """
    model = Trained.from_settings(settings)
    config = model.config
    changes: dict[str, object] = {"download_path": settings.download_path}
    if settings.dataset:
        changes["dataset"] = settings.dataset
    source = config.data.model_copy(update=changes)
    table = load_table(source, config.seed, alpha=source.alpha)
    size, max_words = config.data.image_size, config.model.max_words
    data = CaptionedImages(table, size, model.encoder, max_words)
    if data.channels != model.channels:
        raise UsageError(
            f"dataset: images of {table.name} have {data.channels} channels, {model.source} was "
            f"trained with {model.channels}"
        )
    rows = _prompt_rows(data, settings.split, settings.num_prompts)
    prompts = data.first_captions(rows)
    text = data.condition(prompts).to(model.device)
    start = time.perf_counter()
    base, final = (_on_white(images) for images in model.generate(text, settings))
    seconds = time.perf_counter() - start
    train_rows = table.rows("train")
    nearest = _nearest_captions(data, train_rows.tolist(), data.embeddings(prompts))
    images = {"": final, "base": base, "nearest_caption": _real(data, nearest)}
    images["real"] = _real(data, rows)
    train = _real(data, train_rows.tolist())
    report: dict[str, Any] = {
        "checkpoint": str(model.source),
        "data": table.name,
        "split": settings.split,
        "prompts": len(rows),
        "milliseconds_per_image": 1000 * seconds / len(rows),
    }
    if settings.classifier:
        labels = image_labels(table)
        report |= _agreement(settings, images, [labels[row] for row in rows], table.attributes)
    report |= _kernel_distances(images, train)
    report["copies"] = share_of_copies(final, images["real"], train)
    report["diversity"] = _diversity(model, data, rows, settings)
    if settings.output is not None:
        save_nearest_neighbors(final, train, settings.output)
        report["output"] = str(settings.output.with_suffix(".png"))
    return report


def _prompt_rows(data: CaptionedImages, split: str, limit: int) -> list[int]:
    """Rows of a split whose first captions are the prompts, at most so many, in random order."""
    rows = data.table.rows(split)
    if len(rows) < MIN_PROMPTS:
        raise UserError(f"split {split!r}: {len(rows)} images are too few, need {MIN_PROMPTS}")
    order = torch.randperm(len(rows), generator=generator("prompts"))[:limit]
    selected: list[int] = rows[order.numpy()].tolist()
    return selected


def _on_white(images: Tensor) -> Tensor:
    """RGB images (N, 3, S, S) uint8 of RGB or straight RGBA ones, uint8."""
    if images.shape[1] == 3:
        return images
    floats = to_float(images)
    floats[:, :3] *= floats[:, 3:]
    return to_uint8(composite(floats))


def _real(data: CaptionedImages, rows: Sequence[int]) -> Tensor:
    """RGB images (N, 3, S, S) uint8 of rows of the table."""
    return to_uint8(composite(data.images(list(rows))))


def _nearest_captions(data: CaptionedImages, rows: Sequence[int], text: Tensor) -> list[int]:
    """Row of the training image whose caption is nearest to each of (N, D) embeddings.

    First captions alone, as the prompts are: of several languages those of the first.
    """
    embeddings = data.embeddings(data.first_captions(rows))
    return [rows[index] for index in (text @ embeddings.T).argmax(1).tolist()]


def _agreement(
    settings: EvaluateConfig,
    images: dict[str, Tensor],
    labels: Sequence[Labels],
    attributes: Sequence[str] = (),
) -> dict[str, Any]:
    """Share of images that the classifier takes for their labels, with intervals.

    All attributes of an image must be right; where there are several, the share of each as well,
    and shares and numbers of prompts by the first one.
    """
    path = find_checkpoint(settings.classifier, ClassifierSystem.name, flag="--classifier")
    classifier = TrainedClassifier(path, pick_device(settings.device))
    if unknown := sorted({each for each in labels if not classifier.knows(each)}):
        raise UserError(
            f"--classifier {path}: was not trained on {', '.join(unknown[0])!r} and "
            f"{len(unknown) - 1} other things that prompts name; train it on the same --dataset"
        )
    report: dict[str, Any] = {}
    for name, pixels in images.items():
        predictions = classifier.predict(pixels)
        right = sum(a == b for a, b in zip(predictions, labels, strict=True))
        key = f"agreement_{name}" if name else "agreement"
        report[key] = right / len(labels)
        report[f"{key}_interval95"] = list(share_interval(right, len(labels)))
        if attributes:
            report[f"{key}_by_{attributes[0]}"] = {
                value: _share_of(value, predictions, labels)
                for value in sorted({each[0] for each in labels})
            }
        for index, attribute in enumerate(attributes):
            right = sum(a[index] == b[index] for a, b in zip(predictions, labels, strict=True))
            report[f"{key}_{attribute}"] = right / len(labels)
    return report


def _share_of(
    first: str, predictions: Sequence[Labels], labels: Sequence[Labels]
) -> dict[str, float]:
    """Share that is right among the prompts whose first attribute is this one."""
    pairs = zip(predictions, labels, strict=True)
    right = [a == b for a, b in pairs if b[0] == first]
    return {"agreement": sum(right) / len(right), "prompts": len(right)}


def _kernel_distances(images: dict[str, Tensor], train: Tensor) -> dict[str, float]:
    """Kernel distances to the real images of the split."""
    real = image_features(images["real"])
    indices = torch.linspace(0, len(train) - 1, min(len(train), len(real))).long()
    others = {"": images[""], "_base": images["base"], "_floor": train[indices]}
    report = {}
    for name, pixels in others.items():
        distance, deviation = kernel_distance(image_features(pixels), real)
        report[f"kernel_distance{name}"] = distance
        report[f"kernel_distance{name}_interval95"] = Z95 * deviation
    return report


def _diversity(
    model: Trained, data: CaptionedImages, rows: Sequence[int], settings: EvaluateConfig
) -> float | None:
    """Mean distance of features of images of one prompt, by that of real images of one content.

    None where no content has two different real images.
    """
    labels = image_labels(data.table)
    by_label: dict[Labels, list[int]] = {}
    for row, label in enumerate(labels):
        by_label.setdefault(label, []).append(row)
    selected = [row for row in rows if len(by_label[labels[row]]) > 1][:DIVERSITY_PROMPTS]
    if not selected:
        return None
    count = settings.images_per_prompt
    text = data.condition(data.first_captions(selected)).repeat_interleave(count)
    _, final = model.generate(text.to(model.device), settings)
    generated = image_features(_on_white(final)).view(len(selected), count, -1)
    real = [image_features(_real(data, by_label[labels[row]])) for row in selected]
    mean_real = sum(mean_distance(each) for each in real) / len(real)
    if not mean_real:
        return None
    return sum(mean_distance(each) for each in generated) / len(selected) / mean_real


def mean_distance(features: Tensor) -> float:
    """Mean Euclidean distance of pairs of (N, D), N at least 2."""
    return float(torch.pdist(features.double()).mean())
