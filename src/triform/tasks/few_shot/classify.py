"""Classifies images of a user by a folder of labelled examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from triform.base.errors import UserError
from triform.datasets.images.folder import load, read_pixels
from triform.datasets.images.table import with_channels
from triform.images.find import images_in
from triform.images.read import IMAGE_SUFFIXES
from triform.tasks.few_shot.config import ClassifyConfig, Polarity
from triform.tasks.few_shot.episodes import as_float

Predict = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Supports (S, C, H, W), their labels (S,) and queries (Q, C, H, W) to probabilities (Q, N)."""


def classify_images(
    settings: ClassifyConfig, predict: Predict, size: int, channels: int
) -> list[dict[str, Any]]:
    """Classify images by the examples of a folder.

    Args:
        settings: examples, images and how to prepare them.
        predict: the classifier.
        size: rows and columns of its images.
        channels: channels of its images.

    Returns:
        For each image its file, the most likely class, its probability, and other classes.

    Raises:
        UserError: fewer than two classes of examples, no images, or unreadable ones.
    """
    _check_examples(settings.examples)
    examples = load(settings.examples, size, channels)
    if len(examples.classes) < 2:
        raise UserError(
            f"{settings.examples}: holds {len(examples.classes)} class of examples; "
            "make one folder for each of two or more classes"
        )
    paths = _find_images(settings.images)
    queries = np.concatenate([with_channels(read_pixels(p, size)[None], channels) for p in paths])
    support = prepare(examples.images, settings.polarity)
    labels = torch.from_numpy(examples.labels)
    probs = predict(support, labels, prepare(queries, settings.polarity))
    top = probs.topk(min(settings.top, len(examples.classes)), dim=1)
    rows = []
    for path, values, indices in zip(paths, *map(Tensor.tolist, top), strict=True):
        names = [examples.classes[index] for index in indices]
        others = zip(names[1:], values[1:], strict=True)
        rows.append(
            {
                "file": str(path),
                "class": names[0],
                "probability": round(values[0], 4),
                "others": ", ".join(f"{name} {value:.2f}" for name, value in others),
            }
        )
    return rows


def prepare(images: np.ndarray, polarity: Polarity) -> Tensor:
    """(N, H, W, C) uint8 to (N, C, H, W) float32 in [0, 1]; `dark` inverts bright grounds."""
    pixels = as_float(images)
    if polarity == "keep":
        return pixels
    edges = torch.cat(
        [pixels[:, :, side].flatten(1) for side in (0, -1)]
        + [pixels[..., side].flatten(1) for side in (0, -1)],
        dim=1,
    )
    is_bright = edges.median(1).values > 0.5
    return torch.where(is_bright[:, None, None, None], 1 - pixels, pixels)


def _check_examples(folder: Path) -> None:
    """Refuse a class folder without images, which would otherwise be left out silently."""
    if not folder.is_dir():
        raise UserError(f"--examples {folder}: there is no such folder")
    for path in sorted(folder.iterdir()):
        is_hidden = path.name.startswith((".", "__MACOSX"))
        if (
            path.is_dir()
            and not is_hidden
            and not any(p.suffix.lower() in IMAGE_SUFFIXES for p in path.rglob("*"))
        ):
            raise UserError(f"{path}: no images of this class in it; add some or remove it")


def _find_images(paths: Sequence[Path]) -> list[Path]:
    """Image files, and those inside of folders."""
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            images = images_in(path)
            if not images:
                raise UserError(f"{path}: no images in it; looked for {' '.join(IMAGE_SUFFIXES)}")
            files += images
        elif path.is_file():
            files.append(path)
        else:
            raise UserError(f"--images {path}: there is no such file or folder")
    return files
