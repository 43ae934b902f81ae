"""Wires tasks, embedding and loss together; one function per verb."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from triform.base.seeding import generator, seed_everything
from triform.datasets.episode_pictures import draw_episode
from triform.datasets.episodes import Episode, evaluation_source, load_table
from triform.engine.device import pick_device
from triform.engine.fit import fit
from triform.engine.protocol import System as EngineSystem
from triform.engine.update import Update
from triform.metrics.episodes import accuracy_of
from triform.systems.protonet.config import Config
from triform.systems.protonet.data import training_loader
from triform.systems.protonet.loss import prototype_loss
from triform.systems.protonet.model import ProtoNet
from triform.systems.protonet.trained import Trained, classify, evaluate

__all__ = ["System", "classify", "evaluate", "from_checkpoint", "train"]

DRAWN_SEED = 0
"""The task that samples show is the same in every run."""


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
        losses = prototype_loss(logits, batch["query_labels"])
        update(losses["loss"])
        return losses

    def evaluate(self, split: str = "val") -> dict[str, float]:
        """Loss and accuracy on tasks of the split's classes, inductive."""
        data = self.config.data
        losses: list[float] = []

        def answer(episode: Episode) -> Tensor:
            on = {key: value.to(self.device) for key, value in episode.items()}
            logits = self.networks["protonet"](
                on["support"], on["support_labels"], on["query"], data.n_way
            )
            losses.append(float(prototype_loss(logits, on["query_labels"])["loss"]))
            return logits.argmax(-1)

        source = evaluation_source(
            self.table.without_maker(data.unseen_maker),
            split,
            n_way=data.n_way,
            n_shot=data.n_shot,
            n_query=min(data.n_query, 5),
            vary=data.vary,
        )
        scores = accuracy_of(answer, source, data.evaluation_episodes, self.config.seed)
        return {
            "loss": sum(losses) / len(losses),
            "accuracy": scores["accuracy"] / 100,
            "interval95": scores["interval95"] / 100,
        }

    def sample(self, folder: Path, step: int) -> None:
        """A validation task: examples, then queries under the class they were given."""
        data = self.config.data
        source = evaluation_source(
            self.table, "val", n_way=data.n_way, n_shot=data.n_shot, n_query=5, vary=data.vary
        )
        episode = source([0], generator("sample", DRAWN_SEED))
        on = {key: value.to(self.device) for key, value in episode.items()}
        logits = self.networks["protonet"](
            on["support"], on["support_labels"], on["query"], data.n_way
        )
        draw_episode(episode, logits.argmax(-1).cpu(), folder / f"{step:06d}.png")


def train(config: Config) -> dict[str, Any]:
    """Train, and say where the run is and how it ended."""
    result = fit(System(config), config)
    return {"run": str(result.run_dir), **result.metrics}


def from_checkpoint(path: Path, device: str = "auto") -> Trained:
    """The trained network in a file; see `systems.from_checkpoint`."""
    return Trained(path, pick_device(device))
