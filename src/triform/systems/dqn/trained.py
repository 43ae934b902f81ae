"""A trained agent, and what its verbs do with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from triform.datasets.agents import Agent
from triform.datasets.playing_settings import EvaluateConfig, PlayConfig, PlayingSettings
from triform.engine.device import pick_device
from triform.engine.trained import find_checkpoint, read_trained
from triform.systems.dqn.config import Config

SYSTEM = "dqn"
SHIPPED = "dqn_cartpole"


class Trained(Agent):
    """A trained agent, ready to act.

    Attributes:
        config: The settings of its training.
    """

    def __init__(self, path: Path, device: torch.device):
        weights, self.config = read_trained(path, SYSTEM, Config)
        model = self.config.model
        super().__init__(
            path, weights.get("q"), model.hidden_size, model.num_layers, "relu", device
        )


def evaluate(settings: EvaluateConfig) -> dict[str, Any]:
    """Play greedy episodes, and say how they went.

    Raises:
        UserError: No such agent or environment, or they do not fit each other.
    """
    agent = _chosen(settings)
    return agent.evaluate(settings, agent.config.data)


def play(settings: PlayConfig) -> dict[str, Any]:
    """Play a few episodes, and save them as a film.

    Raises:
        UserError: As above, or no film can be made.
    """
    agent = _chosen(settings)
    return agent.play(settings, agent.config.data)


def _chosen(settings: PlayingSettings) -> Trained:
    path = find_checkpoint(settings.checkpoint, SYSTEM, shipped=SHIPPED)
    return Trained(path, pick_device(settings.device))
