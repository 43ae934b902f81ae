"""Wires tasks, network and loss together; one function per verb."""

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
from triform.systems.maml.config import Config
from triform.systems.maml.data import training_loader
from triform.systems.maml.loss import query_loss
from triform.systems.maml.model import Classifier, InnerRates, learned_within
from triform.systems.maml.tasks import task_logits
from triform.systems.maml.trained import Trained, classify, evaluate

__all__ = ["System", "classify", "evaluate", "from_checkpoint", "train"]


class System(EngineSystem):
    """Model-agnostic meta-learning."""

    name = "maml"
    monitor = "val/accuracy"
    monitor_mode = "max"

    def __init__(self, config: Config):
        super().__init__(config)
        seed_everything(config.seed)  # the network's first weights
        self.config: Config = config
        pick_device(config.device)  # a wrong name is told before pictures are drawn
        data, training = config.data, config.training
        self.table = load_table(data)
        self.loader = training_loader(self.table, config)
        self.stateful = {"loader": self.loader}
        # References without the engine's wrappers: weights are replaced within a task.
        self.network = Classifier(config.model, data.channels, data.image_size, data.n_way)
        self.networks = {"classifier": self.network}
        self.inner_rates: InnerRates | None = None
        if training.learn_inner_lr:
            names = learned_within(self.network, anil=training.anil)
            self.inner_rates = InnerRates(names, training.inner_steps, training.inner_lr)
            self.networks["inner_rates"] = self.inner_rates
        self.learned = [p for module in self.networks.values() for p in module.parameters()]
        self.optimizers = {
            "main": torch.optim.AdamW(
                self.learned, lr=training.lr, weight_decay=training.weight_decay, fused=True
            )
        }

    @property
    def num_batches(self) -> int:
        return len(self.loader)

    def batches(self) -> Iterator[Episode]:
        return iter(self.loader)

    def logits(self, batch: Episode, *, steps: int) -> Tensor:
        """Logits (T, Q, N) of the queries after so many steps on the supports."""
        on = {key: value.to(self.device) for key, value in batch.items()}
        return task_logits(self.network, self.inner_rates, on, self.config.training, steps=steps)

    def step(self, batch: Episode, update: Update) -> dict[str, Tensor]:
        logits = self.logits(batch, steps=self.config.training.inner_steps)
        losses = query_loss(logits, batch["query_labels"])
        update.apply_gradients(torch.autograd.grad(losses["loss"], self.learned))
        return {key: value.detach() for key, value in losses.items()}

    def test_logits(self, episode: Episode) -> Tensor:
        """Logits (T, Q, n_way) of tasks as they are tested."""
        training = self.config.training
        return self.logits(episode, steps=training.test_steps or training.inner_steps)

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
    """The trained weights in a file; see `systems.from_checkpoint`."""
    return Trained(path, pick_device(device))
