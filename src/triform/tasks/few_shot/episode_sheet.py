"""Draws an episode: a row per class, its support images, then the queries predicted as it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from triform.base.seeding import generator
from triform.datasets.images.table import ImageTable
from triform.images.grid import save_png
from triform.tasks.few_shot.config import EpisodeDataConfig
from triform.tasks.few_shot.episodes import Episode, validation_sampler

ZOOM, BORDER = 2, 2
WHITE, GREEN, RED = (255, 255, 255), (40, 160, 60), (210, 40, 40)


def draw_sample(
    logits: Callable[[Episode], Tensor], table: ImageTable, data: EpisodeDataConfig, path: Path
) -> None:
    """Draw a validation episode, the same one in every run, with a network's predictions."""
    episode = validation_sampler(table, data, "val")([0], generator("sample"))
    draw_episode(episode, logits(episode).argmax(-1).cpu(), path)


def draw_episode(episode: Episode, predicted: Tensor, path: Path) -> None:
    """Draw the first episode of a batch as PNG; correct queries are framed green, others red.

    Args:
        episode: a batch of episodes.
        predicted: (T, Q) predicted classes of the queries.
        path: PNG file.
    """
    support, query = (_pixels(episode[name][0]) for name in ("support", "query"))
    support_labels = episode["support_labels"][0].tolist()
    query_labels = episode["query_labels"][0].tolist()
    rows = []
    for index in range(max(support_labels) + 1):
        cells = [
            _framed(support[i], WHITE) for i, label in enumerate(support_labels) if label == index
        ]
        cells.append(np.full_like(cells[0], 255))
        cells += [
            _framed(query[i], GREEN if query_labels[i] == index else RED)
            for i, label in enumerate(predicted[0].tolist())
            if label == index
        ]
        rows.append(np.concatenate(cells, axis=1))
    width = max(row.shape[1] for row in rows)
    padded = [
        np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255)
        for row in rows
    ]
    save_png(Image.fromarray(np.concatenate(padded)), path)


def _pixels(images: Tensor) -> np.ndarray:
    """(N, C, H, W) in [0, 1] to (N, H, W, 3) uint8, enlarged."""
    enlarged = images.repeat_interleave(ZOOM, 2).repeat_interleave(ZOOM, 3)
    colors = enlarged.expand(-1, 3, -1, -1).permute(0, 2, 3, 1)
    return (colors.clamp(0, 1) * 255).round().byte().numpy()


def _framed(image: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    """An image (H, W, 3) with a border."""
    shape = (image.shape[0] + 2 * BORDER, image.shape[1] + 2 * BORDER, 3)
    framed = np.full(shape, color, np.uint8)
    framed[BORDER:-BORDER, BORDER:-BORDER] = image
    return framed
