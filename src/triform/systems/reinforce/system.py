"""Wires playing, policy, baseline and losses together; one function per verb."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from triform.base.denormals import flushed_denormals
from triform.base.seeding import hash_seed, seed_everything
from triform.datasets.environment_state import SavedEnvironments
from triform.datasets.environments import Environments
from triform.datasets.filming import save_sample
from triform.datasets.playing import Evaluations
from triform.datasets.scores import ScoreRecord
from triform.engine.device import pick_device
from triform.engine.fit import fit
from triform.engine.processes import process_count, process_index
from triform.engine.protocol import Context, Hook
from triform.engine.protocol import System as EngineSystem
from triform.engine.update import Update
from triform.systems.reinforce.config import Config
from triform.systems.reinforce.data import Collector
from triform.systems.reinforce.loss import (
    advantages,
    policy_loss,
    value_loss,
    value_scale,
    with_bootstrap,
)
from triform.systems.reinforce.model import PolicyNetwork
from triform.systems.reinforce.trained import Trained, evaluate, play

__all__ = ["System", "evaluate", "from_checkpoint", "play", "train"]


class System(EngineSystem):
    """REINFORCE: whole episodes, reward to go, a learned baseline where asked for."""

    name = "reinforce"
    monitor = "val/selection"
    monitor_mode = "max"

    def __init__(self, config: Config):
        super().__init__(config)
        seed_everything(config.seed)  # the networks' first weights
        data, model, training = config.data, config.model, config.training
        self.config: Config = config
        pick_device(config.device)  # a wrong name is told before anything is made
        index = process_index()
        seed = hash_seed(config.seed, "train", index)
        self.environments = Environments(
            data.environment,
            data.batch_size,
            seed,
            arguments=data.environment_arguments,
            max_episode_steps=data.max_episode_steps,
        )
        seen, num_actions = self.environments.seen, self.environments.num_actions
        shape = (model.hidden_size, model.num_layers, model.activation)
        self.policy = PolicyNetwork(seen.size, num_actions, *shape)
        self.networks = {"policy": self.policy}
        self.optimizers = {
            "policy": torch.optim.AdamW(
                self.policy.parameters(),
                lr=training.lr,
                weight_decay=training.weight_decay,
                fused=True,
            )
        }
        if model.baseline:
            self.networks["value"] = PolicyNetwork(seen.size, 1, *shape)
            self.optimizers["value"] = torch.optim.AdamW(
                self.networks["value"].parameters(),
                lr=training.value_lr,
                weight_decay=training.weight_decay,
                fused=True,
            )
        self.record = ScoreRecord(data.environment)
        self.collector = Collector(
            data,
            self.environments,
            self.record,
            self.logits,
            seed=seed,
            gamma=training.gamma,
        )
        self.hooks = [WriteScores(self.record)]
        self.evaluations = Evaluations(data, config.seed, self.record, index, process_count())
        self.stateful = {
            "collector": self.collector,
            "environments": SavedEnvironments(self.environments, index),
            "scores": self.record,
        }

    def batches(self) -> Iterator[dict[str, Tensor]]:
        with flushed_denormals():  # also for what is learned from each batch
            yield from self.collector.batches()

    @torch.no_grad()
    def logits(self, observations: np.ndarray) -> np.ndarray:
        """Logits of the actions (N, A) for observations (N, D)."""
        logits = self.policy(torch.from_numpy(observations).to(self.device))
        result: np.ndarray = logits.float().cpu().numpy()
        return result

    def act(self, observations: np.ndarray) -> np.ndarray:
        """The likeliest actions (N,) for observations (N, D)."""
        actions: np.ndarray = self.logits(observations).argmax(1)
        return actions

    def step(self, batch: dict[str, Tensor], update: Update) -> dict[str, float | Tensor]:
        training, returns = self.config.training, batch["returns"]
        numbers: dict[str, float | Tensor] = {}
        values = None
        if "value" in self.networks:
            returns, values, numbers["value"] = self._baseline(batch, update)
        losses = policy_loss(
            self.networks["policy"](batch["observation"]),
            batch["action"],
            advantages(returns, values, normalize=training.normalize),
            training.entropy_weight,
        )
        update(losses["policy"], "policy")
        (self.collector.is_over,) = update.processes.any(self.collector.has_enough)
        loss = losses["policy"].detach() + numbers.get("value", 0.0)
        return {"loss": loss, **losses, **numbers, **self.record.recent()}

    def _baseline(self, batch: dict[str, Tensor], update: Update) -> tuple[Tensor, Tensor, Tensor]:
        """What was expected of each step, before the baseline learns what came of it.

        Returns:
            Returns (T,) that look beyond time limits, expected ones (T,), and the loss.
        """
        training, scale = self.config.training, value_scale(self.config.training.gamma)
        value = self.networks["value"]
        with torch.no_grad():
            expected = scale * value(batch["observation"])[:, 0].float()
            last = scale * value(batch["last_observation"])[:, 0].float()
            returns = with_bootstrap(batch["returns"], batch["bootstrap"], batch["episode"], last)
        first = None
        for _ in range(training.value_steps):
            loss = value_loss(value(batch["observation"])[:, 0], returns / scale)
            update(loss, "value")
            first = loss.detach() if first is None else first
        assert first is not None  # value_steps is at least 1
        return returns, expected, first

    def evaluate(self, split: str = "val") -> dict[str, float]:
        """Mean score of greedy episodes."""
        return self.evaluations.measure(self.act, split)

    def sample(self, folder: Path, step: int) -> None:
        """Film the beginning of one greedy episode."""
        save_sample(self.evaluations.player("sample"), self.act, folder, step)


class WriteScores(Hook):
    """Keeps `scores.png` and `scores.csv` in the run directory up to date."""

    def __init__(self, record: ScoreRecord):
        self.record = record

    def on_epoch_end(self, context: Context) -> None:
        self.record.write(context.run_dir, now=bool(context.reason))


def train(config: Config) -> dict[str, Any]:
    """Train, and say where the run is and how good it became."""
    result = fit(System(config), config)
    return {"run": str(result.run_dir), **result.metrics}


def from_checkpoint(path: Path, device: str = "auto") -> Trained:
    """The trained agent in a file, ready to act; see `systems.from_checkpoint`."""
    return Trained(path, pick_device(device))
