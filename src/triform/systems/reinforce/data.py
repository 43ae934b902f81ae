"""Collects whole episodes with the current policy; all of an update are one batch.

| key | shape | values |
|---|---|---|
| `observation` | (T, D) float32 | observations, episode after episode |
| `action` | (T,) int64 | actions taken |
| `returns` | (T,) float32 | discounted rewards from the step to the end of the episode |
| `bootstrap` | (T,) float32 | in [0, 1]: gamma ** steps left; 0 if the episode terminated |
| `episode` | (T,) int64 | index of the episode, from 0 |
| `last_observation` | (E, D) float32 | final observation of each episode |
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from triform.base.seeding import hash_seed
from triform.systems.reinforce.config import DataConfig
from triform.tasks.agents.environment_state import generator_state, set_generator_state
from triform.tasks.agents.environments import VectorEnv
from triform.tasks.agents.score_record import ScoreRecord

Batch = dict[str, Tensor]


def rewards_to_go(rewards: np.ndarray, gamma: float) -> np.ndarray:
    """Discounted sums from each step to the end: G_t = r_t + gamma * G_(t+1)."""
    returns = np.empty(len(rewards), np.float64)
    following = 0.0
    for step in range(len(rewards) - 1, -1, -1):
        following = float(rewards[step]) + gamma * following
        returns[step] = following
    return returns.astype(np.float32)


class Collector:
    """Plays whole episodes, one in each environment at a time.

    All episodes of an update start together and all are finished: taking the first ones to end
    would favour short episodes.

    Args:
        config: Settings.
        env: The environments.
        record: Where scores of episodes are stored.
        logits: Observations (N, D) float32 to logits of the actions (N, A).
        seed: Seed of the actions.
        gamma: Discount factor.

    Attributes:
        steps: Environment steps so far.
        is_epoch_over: Whether the epoch is over. Lengths of episodes differ between processes,
            and all processes must end the epoch after the same update: `System.step` sets it.
    """

    def __init__(
        self,
        config: DataConfig,
        env: VectorEnv,
        record: ScoreRecord,
        logits: Callable[[np.ndarray], np.ndarray],
        *,
        seed: int,
        gamma: float,
    ):
        self.config, self.env, self.record = config, env, record
        self.logits, self.gamma = logits, gamma
        self.rng = np.random.default_rng(hash_seed(seed, "act"))
        self.steps = self.steps_in_epoch = 0
        self.is_epoch_over = False

    @property
    def has_enough(self) -> bool:
        """Whether this process has played the steps of the epoch."""
        return self.steps_in_epoch >= self.config.steps_per_epoch

    def batches(self) -> Iterator[Batch]:
        """Batches until `is_epoch_over` is set."""
        while not self.is_epoch_over:
            yield self.collect()
        self.steps_in_epoch, self.is_epoch_over = 0, False

    def collect(self) -> Batch:
        """Play one episode in each environment."""
        env, encoder = self.env, self.env.encoder
        count = len(env.envs)
        observations: list[list[np.ndarray]] = [[] for _ in range(count)]
        actions: list[list[int]] = [[] for _ in range(count)]
        rewards: list[list[float]] = [[] for _ in range(count)]
        last_observations = np.zeros_like(env.observations)
        is_truncated = np.zeros(count, bool)
        active = list(range(count))
        while active:
            rows = env.observations[active]
            logits = self.logits(encoder.inputs(rows))
            # Gumbel-max: samples from the softmax of the logits.
            sampled = (logits + self.rng.gumbel(size=logits.shape)).argmax(1)
            step = env.step(sampled, active)
            for row, index in enumerate(active):
                observations[index].append(rows[row])
                actions[index].append(int(sampled[row]))
                rewards[index].append(float(step.rewards[row]))
            ended = step.terminated | step.truncated
            if ended.any():
                for row in ended.nonzero()[0].tolist():
                    last_observations[active[row]] = step.next_observations[row]
                    is_truncated[active[row]] = step.truncated[row]
                active = [index for row, index in enumerate(active) if not ended[row]]
        lengths = np.array([len(episode) for episode in actions])
        for episode in rewards:
            self.steps += len(episode)
            self.steps_in_epoch += len(episode)
            self.record.add(self.steps, sum(episode))
        discounts = [self.gamma ** np.arange(n, 0, -1) for n in lengths]
        return {
            "observation": torch.from_numpy(
                encoder.inputs(np.concatenate([np.stack(episode) for episode in observations]))
            ),
            "action": torch.tensor([action for episode in actions for action in episode]),
            "returns": torch.from_numpy(
                np.concatenate([rewards_to_go(np.array(r), self.gamma) for r in rewards])
            ),
            "bootstrap": torch.from_numpy(
                np.concatenate([d * cut for d, cut in zip(discounts, is_truncated, strict=True)])
            ).float(),
            "episode": torch.from_numpy(np.repeat(np.arange(count), lengths)),
            "last_observation": torch.from_numpy(encoder.inputs(last_observations)),
        }

    def state_dict(self) -> dict[str, Any]:
        return {
            "rng": generator_state(self.rng),
            "steps": self.steps,
            "steps_in_epoch": self.steps_in_epoch,
            "is_epoch_over": self.is_epoch_over,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        set_generator_state(self.rng, state["rng"])
        self.steps, self.steps_in_epoch = int(state["steps"]), int(state["steps_in_epoch"])
        self.is_epoch_over = bool(state["is_epoch_over"])
