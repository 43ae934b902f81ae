"""Tasks for MAML, from `triform.datasets.episodes`.

| key | shape and type | values |
|---|---|---|
| `support` | (T, S, C, H, W) float32 | [0, 1] |
| `support_labels` | (T, S) int64 | the task's own numbers of its classes, from 0 |
| `query` | (T, Q, C, H, W) float32 | [0, 1] |
| `query_labels` | (T, Q) int64 | as those of the support |
"""

from __future__ import annotations

from triform.datasets.episodes import training_source
from triform.datasets.pictures.table import PictureTable
from triform.engine.sampler import EpochLoader
from triform.systems.maml.config import Config


def training_loader(table: PictureTable, config: Config) -> EpochLoader:
    """Batches of training tasks."""
    data = config.data
    return EpochLoader(
        data.episodes_per_epoch,
        training_source(table, data),
        batch_size=data.batch_size,
        seed=config.seed,
        num_workers=data.num_workers,
    )
