"""Whole episodes, played with the policy as it is, become one batch.

| key | shape | values |
|---|---|---|
| `observation` | (T, D) float32 | what the agent saw, episode after episode |
| `action` | (T,) int64 | what it did |
| `returns` | (T,) float32 | discounted rewards from there to the end of the episode |
| `bootstrap` | (T,) float32 | in [0, 1]: gamma ** steps left; 0 if the episode terminated |
| `episode` | (T,) int64 | which episode it belongs to, from 0 |
| `last_observation` | (E, D) float32 | what each episode ended in |
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
from triform.systems.reinforce.config import DataConfig

Batch = dict[str, Tensor]


def rewards_to_go(rewards: np.ndarray, gamma: float) -> np.ndarray:
    """Discounted sums from each step to the end: G_t = r_t + gamma * G_(t+1)."""
    result = np.empty(len(rewards), np.float64)
    following = 0.0
    for step in range(len(rewards) - 1, -1, -1):
        following = float(rewards[step]) + gamma * following
        result[step] = following
    return result.astype(np.float32)


class Collector:
    """Plays whole episodes side by side, one in each environment.

    As many begin as an update wants, and all are waited for: whoever took the first so many to
    end would learn from short ones alone.

    Args:
        config: The settings.
        environments: Where it plays.
        record: Where it notes the scores of its episodes.
        logits: Observations (N, D) float32 to logits of the actions (N, A).
        seed: Seed of the actions.
        gamma: What a reward one step later is worth.

    Attributes:
        steps: Environment steps so far.
        is_over: Whether the epoch is over. Episodes have their own lengths in each process, and
            all must end the epoch after the same update: they agree in `System.step`.
    """

    def __init__(
        self,
        config: DataConfig,
        environments: Environments,
        record: ScoreRecord,
        logits: Callable[[np.ndarray], np.ndarray],
        *,
        seed: int,
        gamma: float,
    ):
        self.config, self.environments, self.record = config, environments, record
        self.logits, self.gamma = logits, gamma
        self.random = np.random.default_rng(hash_seed(seed, "act"))
        self.steps = self.steps_in_epoch = 0
        self.is_over = False

    @property
    def has_enough(self) -> bool:
        """Whether this process has played the steps of the epoch."""
        return self.steps_in_epoch >= self.config.steps_per_epoch

    def batches(self) -> Iterator[Batch]:
        """Batches until whoever learns from them says that the epoch is over."""
        while not self.is_over:
            yield self.collect()
        self.steps_in_epoch, self.is_over = 0, False

    def collect(self) -> Batch:
        """Play one episode in every environment."""
        environments, seen = self.environments, self.environments.seen
        count = len(environments.environments)
        observations: list[list[np.ndarray]] = [[] for _ in range(count)]
        actions: list[list[int]] = [[] for _ in range(count)]
        rewards: list[list[float]] = [[] for _ in range(count)]
        last = np.zeros_like(environments.observations)
        was_cut = np.zeros(count, bool)
        playing = list(range(count))
        while playing:
            rows = environments.observations[playing]
            logits = self.logits(seen.inputs(rows))
            # The largest of logits plus Gumbel noise falls on an action with its probability.
            chosen = (logits + self.random.gumbel(size=logits.shape)).argmax(1)
            step = environments.step(chosen, playing)
            for row, place in enumerate(playing):
                observations[place].append(rows[row])
                actions[place].append(int(chosen[row]))
                rewards[place].append(float(step.rewards[row]))
            ended = step.terminated | step.truncated
            if ended.any():
                for row in ended.nonzero()[0].tolist():
                    last[playing[row]] = step.successors[row]
                    was_cut[playing[row]] = step.truncated[row]
                playing = [place for row, place in enumerate(playing) if not ended[row]]
        lengths = np.array([len(each) for each in actions])
        for each in rewards:
            self.steps += len(each)
            self.steps_in_epoch += len(each)
            self.record.add(self.steps, sum(each))
        left = [self.gamma ** np.arange(n, 0, -1) for n in lengths]
        return {
            "observation": torch.from_numpy(
                seen.inputs(np.concatenate([np.stack(each) for each in observations]))
            ),
            "action": torch.tensor([action for each in actions for action in each]),
            "returns": torch.from_numpy(
                np.concatenate([rewards_to_go(np.array(r), self.gamma) for r in rewards])
            ),
            "bootstrap": torch.from_numpy(
                np.concatenate([p * cut for p, cut in zip(left, was_cut, strict=True)])
            ).float(),
            "episode": torch.from_numpy(np.repeat(np.arange(count), lengths)),
            "last_observation": torch.from_numpy(seen.inputs(last)),
        }

    def state_dict(self) -> dict[str, Any]:
        return {
            "random": generator_state(self.random),
            "steps": self.steps,
            "steps_in_epoch": self.steps_in_epoch,
            "is_over": self.is_over,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        set_generator_state(self.random, state["random"])
        self.steps, self.steps_in_epoch = int(state["steps"]), int(state["steps_in_epoch"])
        self.is_over = bool(state["is_over"])
