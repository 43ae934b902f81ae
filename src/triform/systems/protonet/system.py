"""Wires tasks, embedding and loss together; one function per verb."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from triform.base.seeding import seed_everything
from triform.datasets.episode_pictures import draw_sample
from triform.datasets.episodes import Episode, load_table, training_time_source
from triform.engine.device import pick_device
from triform.engine.fit import fit
from triform.engine.protocol import System as EngineSystem
from triform.engine.update import Update
from triform.metrics.episodes import loss_and_accuracy
from triform.systems.protonet.config import Config
from triform.systems.protonet.data import training_loader
from triform.systems.protonet.loss import query_loss
from triform.systems.protonet.model import ProtoNet
from triform.systems.protonet.trained import Trained, classify, evaluate

__all__ = ["System", "classify", "evaluate", "from_checkpoint", "train"]


class System(EngineSystem):
    """Prototypical networks."""

    name = "protonet"
    monitor = "val/accuracy"
    monitor_mode = "max"

    def __init__(self, config: Config):
        super().__init__(config)
        seed_everything(config.seed)  # the network's first weights
        self.config: Config = config
        pick_device(config.device)  # a wrong name is told before pictures are drawn
        data = config.data
        self.table = load_table(data)
        self.loader = training_loader(self.table, config)
        self.stateful = {"loader": self.loader}
        self.network = ProtoNet(config.model, data.channels, data.image_size)
        self.networks = {"protonet": self.network}
        self.optimizers = {
            "main": torch.optim.AdamW(
                self.network.parameters(),
                lr=config.training.lr,
                weight_decay=config.training.weight_decay,
                fused=True,
            )
        }

    @property
    def num_batches(self) -> int:
        return len(self.loader)

    def batches(self) -> Iterator[Episode]:
        return iter(self.loader)

    def step(self, batch: Episode, update: Update) -> dict[str, Tensor]:
        n_way = self.config.data.train_way or self.config.data.n_way
        logits = self.networks["protonet"](
            batch["support"], batch["support_labels"], batch["query"], n_way
        )
        losses = query_loss(logits, batch["query_labels"])
        update(losses["loss"])
        return losses

    def test_logits(self, episode: Episode) -> Tensor:
        """Logits (T, Q, n_way) of tasks as they are tested."""
        on = {key: value.to(self.device) for key, value in episode.items()}
        return self.networks["protonet"](
            on["support"], on["support_labels"], on["query"], self.config.data.n_way
        )

    def evaluate(self, split: str = "val") -> dict[str, float]:
        """Loss and accuracy on tasks of the split's classes, inductive."""
        data = self.config.data
        source = training_time_source(self.table, data, split)
        return loss_and_accuracy(
            self.test_logits, source, data.evaluation_episodes, self.config.seed
        )

    def sample(self, folder: Path, step: int) -> None:
        """A validation task: examples, then queries under the class they were given."""
        draw_sample(self.test_logits, self.table, self.config.data, folder / f"{step:06d}.png")


def train(config: Config) -> dict[str, Any]:
    """Train, and say where the run is and how it ended."""
    result = fit(System(config), config)
    return {"run": str(result.run_dir), **result.metrics}


def from_checkpoint(path: Path, device: str = "auto") -> Trained:
    """The trained network in a file; see `systems.from_checkpoint`."""
    return Trained(path, pick_device(device))
