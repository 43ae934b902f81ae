"""A trained agent, and what its verbs do with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from triform.datasets.agents import Agent
from triform.datasets.playing_settings import EvaluateConfig, PlayConfig
from triform.engine.checkpoint import StateDicts
from triform.engine.trained import TrainedModel
from triform.systems.dqn.config import Config


class Trained(TrainedModel[Config], Agent):
    """A trained agent, ready to act."""

    system, shipped = "dqn", "dqn_cartpole"
    config_class = Config

    def build(self, tensors: StateDicts) -> Mapping[str, nn.Module]:
        model = self.config.model
        self.network = self.perceptron(tensors["q"], model.hidden_size, model.num_layers, "relu")
        return {"q": self.network}


def evaluate(settings: EvaluateConfig) -> dict[str, Any]:
    """Play greedy episodes, and say how they went.

    Raises:
        UserError: No such agent or environment, or they do not fit each other.
    """
    agent = Trained.choose(settings.checkpoint, settings.device)
    return agent.evaluate(settings, agent.config.data)


def play(settings: PlayConfig) -> dict[str, Any]:
    """Play a few episodes, and save them as a film.

    Raises:
        UserError: As above, or no film can be made.
    """
    agent = Trained.choose(settings.checkpoint, settings.device)
    return agent.play(settings, agent.config.data)
