"""Wires playing, memory, network and loss together; one function per verb."""

from __future__ import annotations

import copy
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
from triform.systems.dqn.config import Config
from triform.systems.dqn.data import Collector, Replay
from triform.systems.dqn.loss import td_loss, td_targets
from triform.systems.dqn.model import QNetwork
from triform.systems.dqn.trained import Trained, evaluate, play
from triform.systems.dqn.windows import Windows

__all__ = ["System", "evaluate", "from_checkpoint", "play", "train"]


class System(EngineSystem):
    """Deep Q-learning with replay, a target network, and double Q-learning where asked for."""

    name = "dqn"
    monitor = "val/selection"
    monitor_mode = "max"

    def __init__(self, config: Config):
        super().__init__(config)
        seed_everything(config.seed)  # the network's first weights
        data, model, training = config.data, config.model, config.training
        self.config: Config = config
        pick_device(config.device)  # a wrong name is told before anything is made
        index = process_index()
        seed = hash_seed(config.seed, "train", index)
        self.environments = Environments(
            data.environment,
            data.num_environments,
            seed,
            arguments=data.environment_arguments,
            max_episode_steps=data.max_episode_steps,
        )
        seen = self.environments.seen
        self.q = QNetwork(
            seen.size, self.environments.num_actions, model.hidden_size, model.num_layers
        )
        self.target = copy.deepcopy(self.q).requires_grad_(False)
        self.networks = {"q": self.q}
        self.frozen = {"target": self.target}
        self.weights: list[Tensor] = list(self.q.parameters())
        self.target_weights: list[Tensor] = list(self.target.parameters())
        self.optimizers = {
            # fused: one call for all weights; for networks this small calls are what costs
            "main": torch.optim.AdamW(
                self.q.parameters(), lr=training.lr, weight_decay=training.weight_decay, fused=True
            )
        }
        self.replay = Replay(data.replay_size, seen.size, seen.dtype, seen.scale)
        windows = None
        if training.n_step > 1:
            windows = Windows(data.num_environments, training.n_step, training.gamma)
        self.record = ScoreRecord(data.environment)
        self.collector = Collector(
            data,
            self.environments,
            self.replay,
            self.record,
            self.act,
            seed=seed,
            windows=windows,
            failure_reward=training.failure_reward,
        )
        self.hooks = [WriteScores(self.record)]
        self.num_updates = 0
        self.evaluations = Evaluations(data, config.seed, self.record, index, process_count())
        self.stateful = {
            "target": self.target,
            "replay": self.replay,
            "collector": self.collector,
            "environments": SavedEnvironments(self.environments, index),
            "scores": self.record,
            "updates": UpdateCount(self),
        }

    @property
    def num_batches(self) -> int:
        data = self.config.data
        return max(1, data.steps_per_epoch * data.gradient_steps // data.train_every)

    def batches(self) -> Iterator[dict[str, Tensor]]:
        with flushed_denormals():  # also for what is learned from each batch
            yield from self.collector.batches()

    @torch.no_grad()
    def act(self, observations: np.ndarray) -> np.ndarray:
        """The best actions (N,) for observations (N, D)."""
        values = self.q(torch.from_numpy(observations).to(self.device))
        actions: np.ndarray = values.argmax(1).cpu().numpy()
        return actions

    def step(self, batch: dict[str, Tensor], update: Update) -> dict[str, float | Tensor]:
        training = self.config.training
        following = batch["next_observation"]
        with torch.no_grad():
            targets = td_targets(
                batch["reward"],
                batch["bootstrap"],
                self.target(following),
                self.q(following) if training.double_q else None,
                training.gamma,
            )
        losses = td_loss(
            self.networks["q"](batch["observation"]), batch["action"], targets, training.td_loss
        )
        update(losses["loss"])
        self.num_updates += 1
        self._move_target()
        return {**losses, "epsilon": self.collector.epsilon, **self.record.recent()}

    def _move_target(self) -> None:
        """Let the target network follow."""
        training = self.config.training
        with torch.no_grad():
            if training.target_update == "polyak":
                torch._foreach_lerp_(self.target_weights, self.weights, training.tau)
            elif self.num_updates % training.target_every == 0:
                torch._foreach_copy_(self.target_weights, self.weights)

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


class UpdateCount:
    """The number of updates done, as something that a checkpoint keeps."""

    def __init__(self, system: System):
        self.system = system

    def state_dict(self) -> dict[str, Any]:
        return {"num_updates": self.system.num_updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.system.num_updates = int(state["num_updates"])


def train(config: Config) -> dict[str, Any]:
    """Train, and say where the run is and how good it became."""
    result = fit(System(config), config)
    return {"run": str(result.run_dir), **result.metrics}


def from_checkpoint(path: Path, device: str = "auto") -> Trained:
    """The trained agent in a file, ready to act; see `systems.from_checkpoint`."""
    return Trained(path, pick_device(device))
