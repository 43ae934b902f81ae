"""A trained agent, and what its verbs do with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from triform.base.errors import UserError
from triform.datasets.filming import film
from triform.datasets.playing import Game, Player, measure
from triform.datasets.playing_settings import EvaluateConfig, PlayConfig, PlayingSettings
from triform.engine.device import pick_device
from triform.engine.trained import find_checkpoint, read_trained
from triform.images.animation import check_suffix
from triform.systems.dqn.config import Config
from triform.systems.dqn.model import QNetwork

SYSTEM = "dqn"
SHIPPED = "dqn_cartpole"


class Trained:
    """A trained agent, ready to act.

    Attributes:
        source: The file it came from.
        config: The settings of its training.
        num_inputs: Length of what it sees.
        num_actions: Actions it can choose from.
        network: Its Q-network, in evaluation mode.
    """

    def __init__(self, path: Path, device: torch.device):
        self.source, self.device = path, device
        weights, self.config = read_trained(path, SYSTEM, Config)
        model = self.config.model
        try:
            given = {name: tensor.float() for name, tensor in weights["q"].items()}
            names = [f"network.{2 * layer}.weight" for layer in range(model.num_layers + 1)]
            self.num_inputs = given[names[0]].shape[1]
            self.num_actions = given[names[-1]].shape[0]
            with torch.device("meta"):  # settings may lie: sizes are compared before they cost
                network = QNetwork(
                    self.num_inputs, self.num_actions, model.hidden_size, model.num_layers
                )
            network.load_state_dict(given, assign=True)
        except (KeyError, RuntimeError, IndexError, AttributeError) as error:
            raise UserError(f"{path}: its weights do not fit its settings") from error
        self.network = network.eval().to(device)

    @torch.no_grad()
    def act(self, observations: np.ndarray) -> np.ndarray:
        """The best actions (N,) for observations (N, num_inputs) float32."""
        values = self.network(torch.from_numpy(observations).to(self.device))
        actions: np.ndarray = values.argmax(1).cpu().numpy()
        return actions


def make_player(settings: PlayingSettings) -> tuple[Trained, Player]:
    """The agent that settings name, and a place for it to play."""
    path = find_checkpoint(settings.checkpoint, SYSTEM, shipped=SHIPPED)
    trained = Trained(path, pick_device(settings.device))
    game = Game.chosen(settings, trained.config.data)
    return trained, Player(game, trained.num_inputs, trained.num_actions)


def evaluate(settings: EvaluateConfig) -> dict[str, Any]:
    """Play greedy episodes, and say how they went.

    Raises:
        UserError: No such agent or environment, or they do not fit each other.
    """
    trained, player = make_player(settings)
    return {"checkpoint": str(trained.source), **measure(player, trained.act, settings)}


def play(settings: PlayConfig) -> dict[str, Any]:
    """Play a few episodes, and save them as a film.

    Raises:
        UserError: No such agent or environment, they do not fit each other, or no film can be
            made.
    """
    check_suffix(settings.output)
    trained, player = make_player(settings)
    return {"checkpoint": str(trained.source), **film(player, trained.act, settings)}
