"""Playing becomes transitions, and transitions become batches.

| key | shape | values |
|---|---|---|
| `observation` | (B, D) float32 | what the agent saw |
| `action` | (B,) int64 | what it did |
| `reward` | (B,) float32 | what it got |
| `next_observation` | (B, D) float32 | what that led to, also where a time limit cut the episode |
| `bootstrap` | (B,) float32 | in [0, 1]; 0 where the episode terminated and nothing follows |

With `n_step` above 1, `reward` is the discounted sum of as many rewards, `next_observation` what
followed them, and `bootstrap` gamma to the power of the steps but one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from triform.base.seeding import hash_seed
from triform.datasets.environment_state import generator_state, set_generator_state
from triform.datasets.environments import Environments
from triform.datasets.scores import ScoreRecord
from triform.systems.dqn.config import DataConfig
from triform.systems.dqn.windows import Windows

Batch = dict[str, Tensor]
GATHERED = 32  # batches of a burst that are gathered in one go


class Replay:
    """The last transitions, in a ring of arrays that are made once.

    Args:
        capacity: How many are remembered.
        num_inputs: Length of an observation.
        dtype: Type in which observations are kept.
        scale: Factor that makes network inputs out of them.
    """

    def __init__(self, capacity: int, num_inputs: int, dtype: np.dtype[Any], scale: float):
        self.capacity, self.scale = capacity, scale
        self.size = self.position = 0
        kept = torch.from_numpy(np.zeros(0, dtype)).dtype
        self.columns = {
            "observation": torch.zeros(capacity, num_inputs, dtype=kept),
            "action": torch.zeros(capacity, dtype=torch.int64),
            "reward": torch.zeros(capacity),
            "next_observation": torch.zeros(capacity, num_inputs, dtype=kept),
            "bootstrap": torch.zeros(capacity),
        }
        # The same memory for numpy, which writes single rows five times as fast.
        self._arrays = [column.numpy() for column in self.columns.values()]

    def __len__(self) -> int:
        return self.size

    def add(self, *rows: np.ndarray) -> None:
        """Remember (N, ...) rows of each column, in the order of `columns`."""
        for number in range(len(rows[0])):
            place = self.position
            for column, values in zip(self._arrays, rows, strict=True):
                column[place] = values[number]
            self.position = (place + 1) % self.capacity
            self.size = min(self.size + 1, self.capacity)

    def batches(self, numbers: Tensor) -> Iterator[Batch]:
        """One batch for each row of transition numbers (K, B)."""
        for part in numbers.split(GATHERED):
            flat = part.reshape(-1)
            columns = []
            for column in self.columns.values():
                found = column.index_select(0, flat)
                if found.dtype == torch.uint8:
                    found = found.float().mul_(self.scale)
                columns.append(found.view(*part.shape, *found.shape[1:]).unbind())
            for values in zip(*columns, strict=True):
                yield dict(zip(self.columns, values, strict=True))

    def state_dict(self) -> dict[str, Any]:
        filled = {name: column[: self.size].clone() for name, column in self.columns.items()}
        return {"columns": filled, "position": self.position, "capacity": self.capacity}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved replay; of a larger one the newest transitions are kept."""
        columns, position = state["columns"], int(state["position"])
        size = len(columns["action"])
        order = torch.arange(size)
        if size == int(state["capacity"]):  # the ring was full: the oldest stands at `position`
            order = order.roll(-position)
        order = order[-self.capacity :]
        same = self.capacity == int(state["capacity"])
        for name, column in self.columns.items():
            if columns[name].shape[1:] != column.shape[1:]:
                raise ValueError(f"saved {name} has another size")
            column[: len(order)] = columns[name] if same else columns[name][order]
        self.size = len(order)
        self.position = position if same else self.size % self.capacity


class Collector:
    """Plays, remembers, and says when there is something to learn.

    Args:
        config: The settings.
        environments: Where it plays.
        replay: What it remembers in.
        record: Where it notes the scores of its episodes.
        greedy: Observations (N, D) float32 to the best actions (N,).
        seed: Seed of exploration and of what is learned from.
        windows: What makes transitions over several steps; None = over one.
        failure_reward: Reward to learn with where an episode terminates; None = the real one.

    Attributes:
        steps: Environment steps so far.
    """

    def __init__(
        self,
        config: DataConfig,
        environments: Environments,
        replay: Replay,
        record: ScoreRecord,
        greedy: Callable[[np.ndarray], np.ndarray],
        *,
        seed: int,
        windows: Windows | None = None,
        failure_reward: float | None = None,
    ):
        self.config, self.environments = config, environments
        self.replay, self.record = replay, record
        self.greedy, self.windows, self.failure_reward = greedy, windows, failure_reward
        self.random = np.random.default_rng(hash_seed(seed, "explore"))
        self.steps = self.steps_in_epoch = self.since_burst = 0
        self.pending = torch.zeros(0, config.batch_size, dtype=torch.int64)

    @property
    def epsilon(self) -> float:
        """Present share of random actions."""
        config = self.config
        times = max(0, self.steps - config.learning_starts) // config.epsilon_every
        return max(config.epsilon_min, config.epsilon * config.epsilon_decay**times)

    def batches(self) -> Iterator[Batch]:
        """Play the rest of the epoch, and yield what is to be learned from as it comes."""
        while True:
            for batch in self.replay.batches(self.pending):
                self.pending = self.pending[1:]  # before the batch is out: it may be the last
                yield batch
            if self.steps_in_epoch >= self.config.steps_per_epoch:
                break
            self.act()
        self.steps_in_epoch = 0

    def act(self) -> None:
        """Act once in every environment, remember it, and plan a burst of updates if one is due."""
        config, environments = self.config, self.environments
        observations = environments.observations
        if self.windows is not None:
            for place, length in enumerate(environments.lengths):
                if not length:
                    self.windows.forget(place)
        actions = self.choose(observations)
        step = environments.step(actions)
        rewards = step.rewards
        if self.failure_reward is not None:
            rewards = np.where(step.terminated, np.float32(self.failure_reward), rewards)
        if self.windows is None:
            self.replay.add(observations, actions, rewards, step.successors, ~step.terminated)
        else:
            rows = list(self.windows.add(observations, actions, rewards, step))
            if rows:
                self.replay.add(*(np.array(column) for column in zip(*rows, strict=True)))
        count = len(actions)
        self.steps += count
        self.steps_in_epoch += count
        for score, _ in environments.finished:
            self.record.add(self.steps, score)
        if self.steps < config.learning_starts:
            return
        self.since_burst += count
        bursts, self.since_burst = divmod(self.since_burst, config.train_every)
        if bursts and len(self.replay):
            shape = (bursts * config.gradient_steps, config.batch_size)
            self.pending = torch.from_numpy(self.random.integers(len(self.replay), size=shape))

    def choose(self, observations: np.ndarray) -> np.ndarray:
        """Epsilon-greedy actions (N,)."""
        count, random = len(observations), self.random
        explores = random.random(count) < self.epsilon
        if self.steps < self.config.learning_starts or explores.all():
            return random.integers(self.environments.num_actions, size=count)
        actions = self.greedy(self.environments.seen.inputs(observations))
        if explores.any():
            others = random.integers(self.environments.num_actions, size=count)
            actions = np.where(explores, others, actions)
        return actions

    def state_dict(self) -> dict[str, Any]:
        return {
            "random": generator_state(self.random),
            "steps": self.steps,
            "steps_in_epoch": self.steps_in_epoch,
            "since_burst": self.since_burst,
            "pending": self.pending.clone(),
            "windows": self.windows.state_dict() if self.windows is not None else {},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        set_generator_state(self.random, state["random"])
        if self.windows is not None and state["windows"]:
            self.windows.load_state_dict(state["windows"])
        self.steps, self.steps_in_epoch = int(state["steps"]), int(state["steps_in_epoch"])
        self.since_burst, self.pending = int(state["since_burst"]), state["pending"].clone()
