"""Pictures and their classes become batches.

| key | shape and type | values |
|---|---|---|
| `images` | (B, C, H, W) float32 | [0, 1] |
| `labels` | (B) int64 | index of the class |
"""

from __future__ import annotations

from triform.datasets.picture_batches import Pictures
from triform.engine.sampler import EpochLoader
from triform.systems.autoencoder.config import Config


def training_loader(pictures: Pictures, config: Config) -> EpochLoader:
    """Batches of training pictures."""
    return EpochLoader(
        len(pictures.rows["train"]), pictures.fetch, batch_size=config.data.batch_size,
        seed=config.seed, num_workers=config.data.num_workers,
    )  # fmt: skip
