"""Made pictures beside the training pictures nearest to them: a look at copying."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from triform.images.grid import save_pictures
from triform.metrics.coverage import nearest

COLUMNS = 12


def save_beside_nearest(made: Tensor, train: Tensor, path: Path, rows: int = 3) -> None:
    """Saves rows of made pictures, each above a row of their nearest training pictures.

    Args:
        made: (N, C, H, W) uint8.
        train: (K, C, H, W) uint8.
        path: the PNG.
        rows: pairs of rows.
    """
    shown = made[:: max(1, len(made) // (COLUMNS * rows))][: COLUMNS * rows]
    _, numbers = nearest(shown.flatten(1).float(), train.flatten(1).float())
    lines = []
    for ours, theirs in zip(shown.split(COLUMNS), train[numbers].split(COLUMNS), strict=True):
        blank = ours.new_full((COLUMNS - len(ours), *ours.shape[1:]), 255)
        lines += [ours, blank, theirs, blank]
    save_pictures(torch.cat(lines).numpy(), path.with_suffix(".png"), COLUMNS)
