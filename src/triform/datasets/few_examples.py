"""A user's few labelled pictures, and the new ones to tell apart by them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from triform.base.errors import UserError
from triform.datasets.episode_settings import ClassifyConfig, Polarity
from triform.datasets.episodes import as_float
from triform.datasets.pictures.folder import load, read_pixels
from triform.datasets.pictures.table import with_channels
from triform.images.read import IMAGE_SUFFIXES

Predict = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Supports (S, C, H, W), their labels (S,) and queries (Q, C, H, W) to probabilities (Q, N)."""


def classify(
    settings: ClassifyConfig, predict: Predict, size: int, channels: int
) -> list[dict[str, Any]]:
    """Classifies pictures by the examples of a folder.

    Returns:
        For each picture its file, the most likely classes and their probabilities.

    Raises:
        UserError: fewer than two classes of examples, no pictures, or unreadable ones.
    """
    _check(settings.examples)
    examples = load(settings.examples, size, channels)
    if len(examples.classes) < 2:
        raise UserError(
            f"{settings.examples}: holds {len(examples.classes)} class of examples; "
            "make one folder for each of two or more classes"
        )
    paths = _find(settings.pictures)
    queries = np.concatenate([with_channels(read_pixels(p, size)[None], channels) for p in paths])
    support = prepare(examples.images, settings.polarity)
    labels = torch.from_numpy(examples.labels)
    probabilities = predict(support, labels, prepare(queries, settings.polarity))
    top = min(settings.top, len(examples.classes))
    best = probabilities.topk(top, dim=1)
    rows = []
    for path, values, numbers in zip(paths, *map(Tensor.tolist, best), strict=True):
        row: dict[str, Any] = {"file": str(path), "class": examples.classes[numbers[0]]}
        row["probability"] = round(values[0], 4)
        others = zip(values[1:], numbers[1:], strict=True)
        row["others"] = ", ".join(f"{examples.classes[n]} {v:.2f}" for v, n in others)
        rows.append(row)
    return rows


def prepare(images: np.ndarray, polarity: Polarity) -> Tensor:
    """(N, H, W, C) uint8 to (N, C, H, W) float32 in [0, 1], bright on dark where asked for."""
    pictures = as_float(images)
    if polarity == "keep":
        return pictures
    edges = torch.cat(
        [pictures[:, :, side].flatten(1) for side in (0, -1)]
        + [pictures[..., side].flatten(1) for side in (0, -1)],
        dim=1,
    )
    is_bright = edges.median(1).values > 0.5
    return torch.where(is_bright[:, None, None, None], 1 - pictures, pictures)


def _check(folder: Path) -> None:
    """A class that somebody forgot to fill must not be left out silently."""
    if not folder.is_dir():
        raise UserError(f"--examples {folder}: there is no such folder")
    for inside in sorted(folder.iterdir()):
        hidden = inside.name.startswith((".", "__MACOSX"))
        if inside.is_dir() and not hidden and not _inside(inside):
            raise UserError(f"{inside}: no pictures of this class in it; add some or remove it")


def _inside(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)


def _find(given: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for path in given:
        if path.is_dir():
            inside = _inside(path)
            if not inside:
                raise UserError(f"{path}: no pictures in it; looked for {' '.join(IMAGE_SUFFIXES)}")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise UserError(f"--pictures {path}: there is no such file or folder")
    return found
