"""Base class of few-shot learners."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TypeVar

from torch import Tensor

from triform.engine.device import to_device
from triform.engine.epoch_loader import EpochLoader
from triform.engine.protocol import System
from triform.tasks.few_shot.config import FewShotConfig
from triform.tasks.few_shot.episode_sheet import draw_sample
from triform.tasks.few_shot.episodes import (
    Episode,
    load_table,
    training_sampler,
    validation_sampler,
)
from triform.tasks.few_shot.evaluation import loss_and_accuracy

FewShotConfigT = TypeVar("FewShotConfigT", bound=FewShotConfig)


class FewShotSystem(System[FewShotConfigT]):
    """A few-shot learner; a subclass adds networks, `step` and `test_logits`.

    Batches:

    | key | shape and type | values |
    |---|---|---|
    | `support` | (T, S, C, H, W) float32 | [0, 1] |
    | `support_labels` | (T, S) int64 | labels within the episode, from 0 |
    | `query` | (T, Q, C, H, W) float32 | [0, 1] |
    | `query_labels` | (T, Q) int64 | as those of the support |
    """

    monitor = "val/accuracy"
    monitor_mode = "max"

    def __init__(self, config: FewShotConfigT):
        super().__init__(config)
        data = config.data
        self.table = load_table(data)
        self.loader = EpochLoader(
            data.episodes_per_epoch,
            training_sampler(self.table, data),
            batch_size=data.batch_size,
            seed=config.seed,
            num_workers=data.num_workers,
        )

    @abstractmethod
    def test_logits(self, episode: Episode) -> Tensor:
        """Logits (T, Q, n_way) of episodes in evaluation, on the system's device."""

    def predict(self, episode: Episode) -> Tensor:
        """Logits (T, Q, n_way) of episodes on any device."""
        return self.test_logits(to_device(episode, self.device))

    def evaluate(self, split: str = "val") -> dict[str, float]:
        """Loss and accuracy on episodes of the split's classes, inductive."""
        data = self.config.data
        sampler = validation_sampler(self.table, data, split)
        return loss_and_accuracy(self.predict, sampler, data.evaluation_episodes, self.config.seed)

    def sample(self, folder: Path, step: int) -> None:
        """Draw a validation episode with the predictions."""
        draw_sample(self.predict, self.table, self.config.data, folder / f"{step:06d}.png")
