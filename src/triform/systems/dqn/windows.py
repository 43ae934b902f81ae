"""Several steps as one transition: rewards travel back faster, and targets guess less."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

from triform.datasets.environments import Step


class Transition(NamedTuple):
    """A row of the replay; `bootstrap` also holds the discount of the steps but the last."""

    observation: np.ndarray
    action: int
    reward: float
    successor: np.ndarray
    bootstrap: float


class Windows:
    """The last few steps of every episode under way (n-step returns, Sutton and Barto 2018, 7.1).

    A transition goes from a step to what came `num_steps` later, or to the end of its episode;
    its reward is the discounted sum of those between.

    Args:
        count: Environments.
        num_steps: Steps per transition.
        gamma: What a reward one step later is worth.
    """

    def __init__(self, count: int, num_steps: int, gamma: float):
        self.num_steps, self.gamma = num_steps, gamma
        self.steps: list[list[tuple[np.ndarray, int, float]]] = [[] for _ in range(count)]

    def forget(self, place: int) -> None:
        """A new episode begins in an environment, however the last one ended."""
        self.steps[place].clear()

    def add(
        self, observations: np.ndarray, actions: np.ndarray, rewards: np.ndarray, step: Step
    ) -> Iterator[Transition]:
        """Take in a step of every environment; yields the transitions that it completes."""
        for place, window in enumerate(self.steps):
            window.append((observations[place], int(actions[place]), float(rewards[place])))
            ended = bool(step.terminated[place] or step.truncated[place])
            goes_on = float(not step.terminated[place])
            while window and (ended or len(window) == self.num_steps):
                total = 0.0
                for _, _, reward in reversed(window):
                    total = reward + self.gamma * total
                discount = self.gamma ** (len(window) - 1)
                observation, action, _ = window.pop(0)
                successor = step.successors[place]
                yield Transition(observation, action, total, successor, goes_on * discount)

    def state_dict(self) -> dict[str, Any]:
        return {
            "observations": [
                [torch.from_numpy(row.copy()) for row, _, _ in window] for window in self.steps
            ],
            "actions": [[action for _, action, _ in window] for window in self.steps],
            "rewards": [[reward for _, _, reward in window] for window in self.steps],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if len(state["actions"]) != len(self.steps):
            return  # another number of environments: all episodes begin anew
        self.steps = [
            [(row.numpy(), int(a), float(r)) for row, a, r in zip(*columns, strict=True)]
            for columns in zip(
                state["observations"], state["actions"], state["rewards"], strict=True
            )
        ]
