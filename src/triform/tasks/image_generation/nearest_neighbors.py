"""Generated images above the training images nearest to them, to look for copies."""

from pathlib import Path

from torch import Tensor

from triform.images.grid import save_row_groups
from triform.metrics.precision_recall import nearest_neighbors

COLUMNS = 12


def save_nearest_neighbors(generated: Tensor, train: Tensor, path: Path, rows: int = 3) -> None:
    """Save rows of generated images, each above a row of their nearest training images.

    Args:
        generated: (N, C, H, W) uint8.
        train: (K, C, H, W) uint8.
        path: The PNG.
        rows: Pairs of rows.
    """
    shown = generated[:: max(1, len(generated) // (COLUMNS * rows))][: COLUMNS * rows]
    _, indices = nearest_neighbors(shown.flatten(1).float(), train.flatten(1).float())
    pairs = (shown.numpy(), train[indices].numpy())
    save_row_groups(pairs, path.with_suffix(".png"), COLUMNS)
