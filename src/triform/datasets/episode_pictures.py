"""One task as a picture: a row per class, its examples first, then what was taken for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from triform.base.files import atomic_write
from triform.base.seeding import generator
from triform.datasets.episode_settings import EpisodeDataConfig
from triform.datasets.episodes import Episode, training_time_source
from triform.datasets.pictures.table import PictureTable

ZOOM, RIM = 2, 2
PAPER, RIGHT, WRONG = (255, 255, 255), (40, 160, 60), (210, 40, 40)


def draw_sample(
    logits: Callable[[Episode], Tensor], table: PictureTable, data: EpisodeDataConfig, path: Path
) -> None:
    """Saves a validation task, the same one in every run, as a network answers it."""
    episode = training_time_source(table, data, "val")([0], generator("sample"))
    draw_episode(episode, logits(episode).argmax(-1).cpu(), path)


def draw_episode(episode: Episode, predicted: Tensor, path: Path) -> None:
    """Saves the first task of a batch as PNG; green frames are right answers, red ones wrong.

    Args:
        episode: a batch of tasks.
        predicted: (T, Q) classes given to the queries.
        path: where the picture shall be.
    """
    support, query = (_pixels(episode[name][0]) for name in ("support", "query"))
    own, real = episode["support_labels"][0].tolist(), episode["query_labels"][0].tolist()
    rows = []
    for number in range(max(own) + 1):
        cells = [_framed(support[i], PAPER) for i, label in enumerate(own) if label == number]
        cells.append(np.full_like(cells[0], 255))
        cells += [
            _framed(query[i], RIGHT if real[i] == number else WRONG)
            for i, label in enumerate(predicted[0].tolist())
            if label == number
        ]
        rows.append(np.concatenate(cells, axis=1))
    width = max(row.shape[1] for row in rows)
    wide = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255)
            for row in rows]  # fmt: skip
    with atomic_write(path) as stream:
        Image.fromarray(np.concatenate(wide)).save(stream, format="PNG")


def _pixels(pictures: Tensor) -> np.ndarray:
    """(N, C, H, W) in [0, 1] to (N, H, W, 3) uint8, enlarged."""
    large = pictures.repeat_interleave(ZOOM, 2).repeat_interleave(ZOOM, 3)
    colors = large.expand(-1, 3, -1, -1).permute(0, 2, 3, 1)
    return (colors.clamp(0, 1) * 255).round().byte().numpy()


def _framed(picture: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    framed = np.full((picture.shape[0] + 2 * RIM, picture.shape[1] + 2 * RIM, 3), color, np.uint8)
    framed[RIM:-RIM, RIM:-RIM] = picture
    return framed
