"""A trained agent, and what its verbs do with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from triform.base.errors import UserError
from triform.datasets.filming import film_episodes
from triform.datasets.playing import Game, Player, summarize
from triform.engine.checkpoint import load_weights
from triform.engine.device import pick_device
from triform.images.animation import check_suffix
from triform.pretrained.weights import shipped
from triform.systems.dqn.config import Config, EvaluateConfig, PlayConfig
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
        weights, config = load_weights(path)
        system = config.pop("system")
        if system != SYSTEM:
            raise UserError(f"{path}: weights of system {system}, not of {SYSTEM}")
        try:
            self.config = Config.model_validate(config)
        except ValueError as error:
            raise UserError(f"{path}: its settings do not fit this version: {error}") from error
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


def find_checkpoint(given: str | None) -> Path:
    """The file that `--checkpoint` means.

    Raises:
        UserError: It was given and is not there.
    """
    if given is None:
        return shipped(SHIPPED)
    path = Path(given)
    if path.is_dir():
        path = path / "checkpoints" / "best.pth"
    if not path.is_file():
        raise UserError(f"--checkpoint {given}: not there; train one or leave the flag out")
    return path


def make_player(settings: EvaluateConfig | PlayConfig) -> tuple[Trained, Player]:
    """The agent that settings name, and a place for it to play."""
    trained = Trained(find_checkpoint(settings.checkpoint), pick_device(settings.device))
    game = Game.chosen(settings, trained.config.data)
    return trained, Player(game, trained.num_inputs, trained.num_actions)


def evaluate(settings: EvaluateConfig) -> dict[str, Any]:
    """Play greedy episodes, and say how they went.

    Raises:
        UserError: No such agent or environment, or they do not fit each other.
    """
    trained, player = make_player(settings)
    episodes = player.play(trained.act, settings.episodes)
    player.close()
    return {
        "checkpoint": str(trained.source),
        "environment": player.game.name,
        **summarize(episodes),
    }


def play(settings: PlayConfig) -> dict[str, Any]:
    """Play a few episodes, and save them as a film.

    Raises:
        UserError: No such agent or environment, they do not fit each other, or no film can be
            made.
    """
    check_suffix(settings.output)
    trained, player = make_player(settings)
    film = film_episodes(
        player,
        trained.act,
        settings.output,
        episodes=settings.episodes,
        frame_rate=settings.fps,
        width=settings.width,
        max_steps=settings.max_steps,
    )
    player.close()
    return {"checkpoint": str(trained.source), "environment": player.game.name, **film}
