"""Base class of reinforcement learners."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from torch import Tensor, nn

from triform.base.denormals import flushed_denormals
from triform.base.seeding import hash_seed
from triform.engine.processes import process_count, process_index
from triform.engine.protocol import Context, Hook, System
from triform.tasks.agents.config import AgentConfig
from triform.tasks.agents.environment_state import EnvironmentState
from triform.tasks.agents.environments import VectorEnv
from triform.tasks.agents.rollout import Evaluator, greedy_actions
from triform.tasks.agents.score_record import ScoreRecord
from triform.tasks.agents.video import save_sample

AgentConfigT = TypeVar("AgentConfigT", bound=AgentConfig)


class Collector(Protocol):
    """Collects training batches by acting in environments."""

    def batches(self) -> Iterator[dict[str, Tensor]]:
        """Act for the rest of the epoch and yield training batches."""


class AgentSystem(System[AgentConfigT]):
    """A reinforcement learner; a subclass adds networks, `actor`, `collector` and `step`.

    Args:
        config: Settings.
        num_environments: Environments that are stepped together in training.

    Attributes:
        env: The training environments.
        record: Scores of training episodes.
        environment_seed: Seed of this process's environments and exploration.
        actor: The network whose highest output is the greedy action.
        collector: Plays in the environments and makes training batches.
    """

    actor: nn.Module
    collector: Collector

    monitor = "val/selection"
    monitor_mode = "max"

    def __init__(self, config: AgentConfigT, num_environments: int):
        super().__init__(config)
        data, index = config.data, process_index()
        self.environment_seed = hash_seed(config.seed, "train", index)
        self.env = VectorEnv(
            data.environment,
            num_environments,
            self.environment_seed,
            arguments=data.environment_arguments,
            max_episode_steps=data.max_episode_steps,
        )
        self.record = ScoreRecord(data.environment)
        self.evaluator = Evaluator(data, config.seed, self.record, index, process_count())
        self.hooks = [WriteScores(self.record)]
        self.stateful = {"environments": EnvironmentState(self.env, index), "scores": self.record}

    def act(self, observations: np.ndarray) -> np.ndarray:
        """Greedy actions (N,) for observations (N, D)."""
        return greedy_actions(self.actor, observations, self.device)

    def batches(self) -> Iterator[dict[str, Tensor]]:
        with flushed_denormals():  # also in the training step of each batch
            yield from self.collector.batches()

    def evaluate(self, split: str = "val") -> dict[str, float]:
        """Mean score of greedy episodes."""
        return self.evaluator.evaluate(self.act, split)

    def sample(self, folder: Path, step: int) -> None:
        """Record the beginning of one greedy episode."""
        save_sample(self.evaluator.runner("sample"), self.act, folder, step)


class WriteScores(Hook):
    """Writes `scores.png` and `scores.csv` to the run directory after each epoch."""

    def __init__(self, record: ScoreRecord):
        self.record = record

    def on_epoch_end(self, context: Context) -> None:
        self.record.write(context.run_dir, now=bool(context.reason))
