"""Base class of trained agents: greedy actions, and the verbs `evaluate` and `play`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

import numpy as np
from torch import nn

from triform.engine.checkpoints.checkpoint import StateDicts
from triform.engine.checkpoints.trained import TrainedModel
from triform.layers.perceptron import Perceptron
from triform.tasks.agents.config import AgentConfig, AgentVerbConfig, EvaluateConfig, PlayConfig
from triform.tasks.agents.rollout import (
    EnvironmentSpec,
    EpisodeRunner,
    evaluate_policy,
    greedy_actions,
)
from triform.tasks.agents.video import record_video

AgentConfigT = TypeVar("AgentConfigT", bound=AgentConfig)


class TrainedAgent(TrainedModel[AgentConfigT]):
    """A trained perceptron that takes the action with the highest output.

    Attributes:
        network: The network, in evaluation mode.
        num_inputs: Length of an observation.
        num_actions: Number of actions.
    """

    network_name: ClassVar[str]
    """Name of the network in the file."""

    def build(self, tensors: StateDicts) -> Mapping[str, nn.Module]:
        """Build the network; sizes of observations and actions are those of the weights."""
        weights = tensors[self.network_name]
        last = 2 * self.config.model.num_layers  # an activation follows each hidden layer
        self.num_inputs = weights["network.0.weight"].shape[1]
        self.num_actions = weights[f"network.{last}.weight"].shape[0]
        self.network = self.build_network()
        return {self.network_name: self.network}

    @abstractmethod
    def build_network(self) -> Perceptron:
        """The network for `num_inputs` and `num_actions`."""

    def act(self, observations: np.ndarray) -> np.ndarray:
        """Greedy actions (N,) for observations (N, num_inputs) float32."""
        return greedy_actions(self.network, observations, self.device)

    def runner(self, settings: AgentVerbConfig) -> EpisodeRunner:
        """Environments to play in: those that flags name, or those of training."""
        spec = EnvironmentSpec.from_settings(settings, self.config.data)
        return EpisodeRunner(spec, self.num_inputs, self.num_actions)

    @classmethod
    def evaluate(cls, settings: EvaluateConfig) -> dict[str, Any]:
        """Play greedy episodes; returns statistics of their scores.

        Raises:
            UserError: No such agent or environment, or they do not fit each other.
        """
        agent = cls.choose(settings.checkpoint, settings.device)
        scores = evaluate_policy(agent.runner(settings), agent.act, settings)
        return {"checkpoint": str(agent.source), **scores}

    @classmethod
    def play(cls, settings: PlayConfig) -> dict[str, Any]:
        """Play a few episodes and save them as a video.

        Raises:
            UserError: As `evaluate`, or no video can be made.
        """
        agent = cls.choose(settings.checkpoint, settings.device)
        video = record_video(agent.runner(settings), agent.act, settings)
        return {"checkpoint": str(agent.source), **video}
