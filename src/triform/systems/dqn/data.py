"""Collects transitions by acting, and batches of them from a replay buffer.

| key | shape | values |
|---|---|---|
| `observation` | (B, D) float32 | observation before the action |
| `action` | (B,) int64 | action taken |
| `reward` | (B,) float32 | its reward |
| `next_observation` | (B, D) float32 | the true next one, also where a time limit cut the episode |
| `bootstrap` | (B,) float32 | in [0, 1]; 0 where the episode terminated |

With `n_step` above 1, `reward` is the discounted sum of n rewards, `next_observation` the one
after them, and `bootstrap` gamma to the power of n - 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from triform.base.seeding import hash_seed
from triform.systems.dqn.config import DataConfig
from triform.systems.dqn.n_step_buffer import NStepBuffer
from triform.tasks.agents.environment_state import generator_state, set_generator_state
from triform.tasks.agents.environments import VectorEnv
from triform.tasks.agents.rollout import Policy
from triform.tasks.agents.score_record import ScoreRecord

Batch = dict[str, Tensor]
BATCHES_PER_GATHER = 32  # batches that are gathered from the buffer in one call


class ReplayBuffer:
    """Ring buffer of the last transitions (arXiv:1312.5602, section 4).

    Args:
        capacity: Number of transitions.
        num_inputs: Length of an observation.
        dtype: Type in which observations are stored.
        scale: Factor from stored observations to network inputs.
    """

    def __init__(self, capacity: int, num_inputs: int, dtype: np.dtype[Any], scale: float):
        self.capacity, self.scale = capacity, scale
        self.size = self.position = 0
        stored = torch.from_numpy(np.zeros(0, dtype)).dtype
        self.columns = {
            "observation": torch.zeros(capacity, num_inputs, dtype=stored),
            "action": torch.zeros(capacity, dtype=torch.int64),
            "reward": torch.zeros(capacity),
            "next_observation": torch.zeros(capacity, num_inputs, dtype=stored),
            "bootstrap": torch.zeros(capacity),
        }
        # The same memory for numpy, which writes single rows five times as fast.
        self._arrays = [column.numpy() for column in self.columns.values()]

    def __len__(self) -> int:
        return self.size

    def add(self, *columns: np.ndarray) -> None:
        """Add N transitions: (N, ...) values of each column, in the order of `columns`."""
        for row in range(len(columns[0])):
            for array, values in zip(self._arrays, columns, strict=True):
                array[self.position] = values[row]
            self.position = (self.position + 1) % self.capacity
            self.size = min(self.size + 1, self.capacity)

    def batches(self, indices: Tensor) -> Iterator[Batch]:
        """One batch for each row of indices (K, B)."""
        for part in torch.split(indices, BATCHES_PER_GATHER):
            flat = part.reshape(-1)
            columns = []
            for column in self.columns.values():
                values = column.index_select(0, flat)
                if values.dtype == torch.uint8:
                    values = values.float().mul_(self.scale)
                columns.append(values.view(*part.shape, *values.shape[1:]).unbind())
            for batch in zip(*columns, strict=True):
                yield dict(zip(self.columns, batch, strict=True))

    def state_dict(self) -> dict[str, Any]:
        filled = {name: column[: self.size].clone() for name, column in self.columns.items()}
        return {"columns": filled, "position": self.position, "capacity": self.capacity}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load a saved buffer; of a larger one the newest transitions."""
        columns, position = state["columns"], int(state["position"])
        size = len(columns["action"])
        order = torch.arange(size)
        if size == int(state["capacity"]):  # the buffer was full: the oldest is at `position`
            order = order.roll(-position)
        order = order[-self.capacity :]
        is_same_size = self.capacity == int(state["capacity"])
        for name, column in self.columns.items():
            if columns[name].shape[1:] != column.shape[1:]:
                raise ValueError(f"saved {name} has another size")
            column[: len(order)] = columns[name] if is_same_size else columns[name][order]
        self.size = len(order)
        self.position = position if is_same_size else self.size % self.capacity


class Collector:
    """Acts epsilon-greedily, fills the replay buffer and draws batches from it.

    Args:
        config: Settings.
        env: The environments.
        replay_buffer: Where transitions are stored.
        record: Where scores of episodes are stored.
        greedy_policy: Observations (N, D) float32 to the best actions (N,).
        seed: Seed of exploration and of the batches drawn.
        n_step_buffer: Makes n-step transitions; None = single steps.
        failure_reward: Reward to learn with where an episode terminates; None = the real one.

    Attributes:
        steps: Environment steps so far.
    """

    def __init__(
        self,
        config: DataConfig,
        env: VectorEnv,
        replay_buffer: ReplayBuffer,
        record: ScoreRecord,
        greedy_policy: Policy,
        *,
        seed: int,
        n_step_buffer: NStepBuffer | None = None,
        failure_reward: float | None = None,
    ):
        self.config, self.env = config, env
        self.replay_buffer, self.record = replay_buffer, record
        self.greedy_policy, self.n_step_buffer = greedy_policy, n_step_buffer
        self.failure_reward = failure_reward
        self.rng = np.random.default_rng(hash_seed(seed, "explore"))
        self.steps = self.steps_in_epoch = self.steps_since_update = 0
        self.pending = torch.zeros(0, config.batch_size, dtype=torch.int64)

    @property
    def epsilon(self) -> float:
        """Current share of random actions."""
        config = self.config
        num_decays = max(0, self.steps - config.learning_starts) // config.epsilon_every
        return max(config.epsilon_min, config.epsilon * config.epsilon_decay**num_decays)

    def batches(self) -> Iterator[Batch]:
        """Act for the rest of the epoch; yields each batch as soon as its update is due."""
        while True:
            for batch in self.replay_buffer.batches(self.pending):
                self.pending = self.pending[1:]  # before the batch is out: it may be the last
                yield batch
            if self.steps_in_epoch >= self.config.steps_per_epoch:
                break
            self.step()
        self.steps_in_epoch = 0

    def step(self) -> None:
        """Act once in each environment, store the transitions and draw batches if one is due."""
        config, env = self.config, self.env
        observations = env.observations
        if self.n_step_buffer is not None:
            for index, length in enumerate(env.episode_lengths):
                if not length:
                    self.n_step_buffer.clear(index)
        actions = self.epsilon_greedy(observations)
        step = env.step(actions)
        rewards = step.rewards
        if self.failure_reward is not None:
            rewards = np.where(step.terminated, np.float32(self.failure_reward), rewards)
        if self.n_step_buffer is None:
            self.replay_buffer.add(
                observations, actions, rewards, step.next_observations, ~step.terminated
            )
        else:
            transitions = list(self.n_step_buffer.add(observations, actions, rewards, step))
            if transitions:
                columns = zip(*transitions, strict=True)
                self.replay_buffer.add(*(np.array(column) for column in columns))
        count = len(actions)
        self.steps += count
        self.steps_in_epoch += count
        for score, _ in env.finished:
            self.record.add(self.steps, score)
        if self.steps < config.learning_starts:
            return
        self.steps_since_update += count
        num_due, self.steps_since_update = divmod(self.steps_since_update, config.train_every)
        if num_due and len(self.replay_buffer):
            shape = (num_due * config.gradient_steps, config.batch_size)
            indices = self.rng.integers(len(self.replay_buffer), size=shape)
            self.pending = torch.from_numpy(indices)

    def epsilon_greedy(self, observations: np.ndarray) -> np.ndarray:
        """Actions (N,), each random with probability epsilon."""
        count, rng, num_actions = len(observations), self.rng, self.env.num_actions
        is_random = rng.random(count) < self.epsilon
        if self.steps < self.config.learning_starts or is_random.all():
            return rng.integers(num_actions, size=count)
        actions = self.greedy_policy(self.env.encoder.inputs(observations))
        if is_random.any():
            actions = np.where(is_random, rng.integers(num_actions, size=count), actions)
        return actions

    def state_dict(self) -> dict[str, Any]:
        return {
            "rng": generator_state(self.rng),
            "steps": self.steps,
            "steps_in_epoch": self.steps_in_epoch,
            "steps_since_update": self.steps_since_update,
            "pending": self.pending.clone(),
            "n_step_buffer": self.n_step_buffer.state_dict() if self.n_step_buffer else {},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        set_generator_state(self.rng, state["rng"])
        if self.n_step_buffer is not None and state["n_step_buffer"]:
            self.n_step_buffer.load_state_dict(state["n_step_buffer"])
        self.steps, self.steps_in_epoch = int(state["steps"]), int(state["steps_in_epoch"])
        self.steps_since_update = int(state["steps_since_update"])
        self.pending = state["pending"].clone()
