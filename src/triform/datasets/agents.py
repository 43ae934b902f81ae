"""A trained agent that does what its network rates highest, and what its verbs do with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from triform.base.errors import UserError
from triform.datasets.filming import film
from triform.datasets.playing import Game, Player, measure
from triform.datasets.playing_settings import EvaluateConfig, PlayConfig, PlayingSettings
from triform.images.animation import check_suffix
from triform.layers.perceptron import Activation, Perceptron


class Agent:
    """A perceptron that acts.

    Args:
        source: The file that its weights came from.
        weights: Of the network; None where the file has none of that name.
        hidden_size: Width of the hidden layers.
        num_layers: How many there are.
        activation: Between the layers.
        device: Where it thinks.

    Attributes:
        num_inputs: Length of what it sees.
        num_actions: Actions it can choose from.
        network: In evaluation mode.

    Raises:
        UserError: The weights are not those of such a network.
    """

    def __init__(
        self,
        source: Path,
        weights: Mapping[str, Tensor] | None,
        hidden_size: int,
        num_layers: int,
        activation: Activation,
        device: torch.device,
    ):
        self.source, self.device = source, device
        try:
            given = {name: tensor.float() for name, tensor in (weights or {}).items()}
            names = [f"network.{2 * layer}.weight" for layer in range(num_layers + 1)]
            self.num_inputs = given[names[0]].shape[1]
            self.num_actions = given[names[-1]].shape[0]
            with torch.device("meta"):  # settings may lie: sizes are compared before they cost
                network = Perceptron(
                    self.num_inputs, self.num_actions, hidden_size, num_layers, activation
                )
            network.load_state_dict(given, assign=True)
        except (KeyError, RuntimeError, IndexError, AttributeError) as error:
            raise UserError(f"{source}: its weights do not fit its settings") from error
        self.network = network.eval().to(device)

    @torch.no_grad()
    def act(self, observations: np.ndarray) -> np.ndarray:
        """The actions rated highest (N,) for observations (N, num_inputs) float32."""
        ratings = self.network(torch.from_numpy(observations).to(self.device))
        actions: np.ndarray = ratings.argmax(1).cpu().numpy()
        return actions

    def player(self, settings: PlayingSettings, trained_in: Any) -> Player:
        """A place for it to play: the one that flags name, or that of its training."""
        return Player(Game.chosen(settings, trained_in), self.num_inputs, self.num_actions)

    def evaluate(self, settings: EvaluateConfig, trained_in: Any) -> dict[str, Any]:
        """Play greedy episodes, and say how they went.

        Raises:
            UserError: No such environment, or it does not fit the agent.
        """
        player = self.player(settings, trained_in)
        return {"checkpoint": str(self.source), **measure(player, self.act, settings)}

    def play(self, settings: PlayConfig, trained_in: Any) -> dict[str, Any]:
        """Play a few episodes, and save them as a film.

        Raises:
            UserError: As above, or no film can be made.
        """
        check_suffix(settings.output)
        player = self.player(settings, trained_in)
        return {"checkpoint": str(self.source), **film(player, self.act, settings)}
