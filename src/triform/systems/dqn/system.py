"""Training of deep Q-learning, and its verbs."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from triform.engine.optimizers import adamw
from triform.engine.update import Update
from triform.systems.dqn.config import Config
from triform.systems.dqn.data import Batch, Collector, ReplayBuffer
from triform.systems.dqn.loss import td_loss, td_targets
from triform.systems.dqn.model import QNetwork
from triform.systems.dqn.n_step_buffer import NStepBuffer
from triform.systems.dqn.trained import Trained
from triform.tasks.agents.system import AgentSystem

evaluate, play = Trained.evaluate, Trained.play


class System(AgentSystem[Config]):
    """Deep Q-learning with a replay buffer, a target network and double Q-learning."""

    name = "dqn"
    shipped = Trained.shipped
    collector: Collector

    def __init__(self, config: Config):
        super().__init__(config, config.data.num_environments)
        data, model, training = config.data, config.model, config.training
        encoder, num_actions = self.env.encoder, self.env.num_actions
        self.q_network = QNetwork(encoder.size, num_actions, model.hidden_size, model.num_layers)
        self.actor = self.q_network
        self.target_network = copy.deepcopy(self.q_network).requires_grad_(False)
        self.networks = {"q": self.q_network}
        self.frozen = {"target": self.target_network}
        self.parameters: list[Tensor] = list(self.q_network.parameters())
        self.target_parameters: list[Tensor] = list(self.target_network.parameters())
        self.optimizers = {"main": adamw(self.q_network.parameters(), training)}
        replay_buffer = ReplayBuffer(data.replay_size, encoder.size, encoder.dtype, encoder.scale)
        n_step_buffer = None
        if training.n_step > 1:
            n_step_buffer = NStepBuffer(data.num_environments, training.n_step, training.gamma)
        self.collector = Collector(
            data,
            self.env,
            replay_buffer,
            self.record,
            self.act,
            seed=self.environment_seed,
            n_step_buffer=n_step_buffer,
            failure_reward=training.failure_reward,
        )
        self.stateful |= {
            "target": self.target_network,
            "replay_buffer": replay_buffer,
            "collector": self.collector,
        }

    @property
    def num_batches(self) -> int:
        data = self.config.data
        return max(1, data.steps_per_epoch * data.gradient_steps // data.train_every)

    def step(self, batch: Batch, update: Update) -> dict[str, float | Tensor]:
        training = self.config.training
        next_observations = batch["next_observation"]
        with torch.no_grad():
            targets = td_targets(
                batch["reward"],
                batch["bootstrap"],
                self.target_network(next_observations),
                self.q_network(next_observations) if training.double_q else None,
                training.gamma,
            )
        losses = td_loss(
            self.networks["q"](batch["observation"]), batch["action"], targets, training.td_loss
        )
        update(losses["loss"])
        self.update_target_network(self.num_steps + 1)
        return {**losses, "epsilon": self.collector.epsilon, **self.record.recent()}

    def load_initial_weights(self) -> None:
        """Load the Q-network, and give the target network the same weights."""
        super().load_initial_weights()
        self.target_network.load_state_dict(self.q_network.state_dict())

    def update_target_network(self, num_updates: int) -> None:
        """Move the target network towards the Q-network (Polyak averaging), or copy it."""
        training = self.config.training
        with torch.no_grad():
            if training.target_update == "polyak":
                torch._foreach_lerp_(self.target_parameters, self.parameters, training.tau)
            elif num_updates % training.target_every == 0:
                torch._foreach_copy_(self.target_parameters, self.parameters)
