"""Training of REINFORCE, and its verbs."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from triform.engine.optimizers import adamw
from triform.engine.update import Update
from triform.systems.reinforce.config import Config
from triform.systems.reinforce.data import Batch, Collector
from triform.systems.reinforce.loss import (
    advantages,
    policy_loss,
    value_loss,
    value_scale,
    with_bootstrap,
)
from triform.systems.reinforce.model import PolicyNetwork
from triform.systems.reinforce.trained import Trained
from triform.tasks.agents.system import AgentSystem

evaluate, play = Trained.evaluate, Trained.play


class System(AgentSystem[Config]):
    """REINFORCE with reward to go and an optional learned baseline."""

    name = "reinforce"
    optional_networks = ("value",)
    collector: Collector

    def __init__(self, config: Config):
        super().__init__(config, config.data.batch_size)
        model, training, size = config.model, config.training, self.env.encoder.size
        shape = (model.hidden_size, model.num_layers, model.activation)
        self.actor = PolicyNetwork(size, self.env.num_actions, *shape)
        self.networks = {"policy": self.actor}
        self.optimizers = {"policy": adamw(self.actor.parameters(), training)}
        if model.baseline:
            self.networks["value"] = PolicyNetwork(size, 1, *shape)
            self.optimizers["value"] = adamw(
                self.networks["value"].parameters(), training, training.value_lr
            )
        self.collector = Collector(
            config.data,
            self.env,
            self.record,
            self.logits,
            seed=self.environment_seed,
            gamma=training.gamma,
        )
        self.stateful["collector"] = self.collector

    @torch.no_grad()
    def logits(self, observations: np.ndarray) -> np.ndarray:
        """Logits of the actions (N, A) for observations (N, D)."""
        logits: Tensor = self.actor(torch.from_numpy(observations).to(self.device))
        return logits.float().cpu().numpy()

    def step(self, batch: Batch, update: Update) -> dict[str, float | Tensor]:
        training, returns, values = self.config.training, batch["returns"], None
        value_losses: dict[str, Tensor] = {}
        if "value" in self.networks:
            returns, values, value_losses["value"] = self._update_baseline(batch, update)
        losses = policy_loss(
            self.networks["policy"](batch["observation"]),
            batch["action"],
            advantages(returns, values, normalize=training.normalize),
            training.entropy_weight,
        )
        update(losses["policy"], "policy")
        (self.collector.is_epoch_over,) = update.processes.any(self.collector.has_enough)
        loss = losses["policy"].detach() + value_losses.get("value", 0.0)
        return {"loss": loss, **losses, **value_losses, **self.record.recent()}

    def _update_baseline(self, batch: Batch, update: Update) -> tuple[Tensor, Tensor, Tensor]:
        """Value each state, then train the baseline on the returns.

        Returns:
            Returns (T,) with bootstrapped ends, values (T,) before the update, and the loss.
        """
        training, scale = self.config.training, value_scale(self.config.training.gamma)
        network, observations = self.networks["value"], batch["observation"]
        with torch.no_grad():
            values = scale * network(observations)[:, 0].float()
            last_values = scale * network(batch["last_observation"])[:, 0].float()
            returns = with_bootstrap(
                batch["returns"], batch["bootstrap"], batch["episode"], last_values
            )
        losses = []
        for _ in range(training.value_steps):
            loss = value_loss(network(observations)[:, 0], returns / scale)
            update(loss, "value")
            losses.append(loss.detach())
        return returns, values, losses[0]
