"""Turns single steps into n-step transitions (Sutton and Barto 2018, section 7.1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

from triform.tasks.agents.environments import Step


class Transition(NamedTuple):
    """A row of the replay buffer; `bootstrap` holds the discount of all steps but the last."""

    observation: np.ndarray
    action: int
    reward: float
    next_observation: np.ndarray
    bootstrap: float


class NStepBuffer:
    """The last steps of each running episode.

    A transition spans `num_steps` steps, or fewer at the end of an episode; its reward is the
    discounted sum of theirs.

    Args:
        num_envs: Number of environments.
        num_steps: Steps per transition.
        gamma: Discount factor.
    """

    def __init__(self, num_envs: int, num_steps: int, gamma: float):
        self.num_steps, self.gamma = num_steps, gamma
        self.steps: list[list[tuple[np.ndarray, int, float]]] = [[] for _ in range(num_envs)]

    def clear(self, index: int) -> None:
        """Drop the steps of an environment, where a new episode starts."""
        self.steps[index].clear()

    def add(
        self, observations: np.ndarray, actions: np.ndarray, rewards: np.ndarray, step: Step
    ) -> Iterator[Transition]:
        """Add a step of each environment; yields the transitions that are complete."""
        for index, steps in enumerate(self.steps):
            steps.append((observations[index], int(actions[index]), float(rewards[index])))
            is_end = bool(step.terminated[index] or step.truncated[index])
            has_future = float(not step.terminated[index])
            while steps and (is_end or len(steps) == self.num_steps):
                n_step_return = 0.0
                for _, _, reward in reversed(steps):
                    n_step_return = reward + self.gamma * n_step_return
                bootstrap = has_future * self.gamma ** (len(steps) - 1)
                observation, action, _ = steps.pop(0)
                next_observation = step.next_observations[index]
                yield Transition(observation, action, n_step_return, next_observation, bootstrap)

    def state_dict(self) -> dict[str, Any]:
        return {
            "observations": [
                [torch.from_numpy(row.copy()) for row, _, _ in steps] for steps in self.steps
            ],
            "actions": [[action for _, action, _ in steps] for steps in self.steps],
            "rewards": [[reward for _, _, reward in steps] for steps in self.steps],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if len(state["actions"]) != len(self.steps):
            return  # another number of environments: all episodes start anew
        self.steps = [
            [(row.numpy(), int(a), float(r)) for row, a, r in zip(*columns, strict=True)]
            for columns in zip(
                state["observations"], state["actions"], state["rewards"], strict=True
            )
        ]
