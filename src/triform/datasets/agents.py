"""A trained agent that does what its network rates highest, and what its verbs do with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from triform.datasets.filming import film
from triform.datasets.playing import Game, Player, measure
from triform.datasets.playing_settings import EvaluateConfig, PlayConfig, PlayingSettings
from triform.images.animation import check_suffix
from triform.layers.perceptron import Activation, Perceptron


class Agent:
    """What a trained perceptron that acts can do; whoever loads it says what it is.

    Attributes:
        source: The file that its weights came from.
        device: Where it computes.
        network: In evaluation mode.
        num_inputs: Length of an observation.
        num_actions: Actions it can choose from.
    """

    source: Path
    device: torch.device
    network: Perceptron
    num_inputs: int
    num_actions: int

    def perceptron(
        self,
        weights: Mapping[str, Tensor],
        hidden_size: int,
        num_layers: int,
        activation: Activation,
    ) -> Perceptron:
        """Build the network that weights are of; observations and actions are read off them.

        Args:
            weights: Of the network.
            hidden_size: Width of the hidden layers.
            num_layers: How many there are.
            activation: Between the layers.

        Raises:
            KeyError: The first or the last layer is missing.
        """
        self.num_inputs = weights["network.0.weight"].shape[1]
        self.num_actions = weights[f"network.{2 * num_layers}.weight"].shape[0]
        return Perceptron(self.num_inputs, self.num_actions, hidden_size, num_layers, activation)

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
