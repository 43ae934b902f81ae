"""Training of MAML, and its verbs."""

from __future__ import annotations

import torch
from torch import Tensor

from triform.engine.optimizers import adamw
from triform.engine.update import Update
from triform.systems.maml.adaptation import adapted_logits
from triform.systems.maml.config import Config
from triform.systems.maml.trained import Trained, build_networks
from triform.tasks.few_shot.episodes import Episode
from triform.tasks.few_shot.loss import query_loss
from triform.tasks.few_shot.system import FewShotSystem

evaluate, classify = Trained.evaluate, Trained.classify


class System(FewShotSystem[Config]):
    """Model-agnostic meta-learning."""

    name = "maml"
    shipped = Trained.shipped

    def __init__(self, config: Config):
        super().__init__(config)
        # References without the engine's wrappers: inner steps replace the parameters.
        self.network, self.inner_rates = build_networks(config)
        self.networks = {"classifier": self.network}
        if self.inner_rates is not None:
            self.networks["inner_rates"] = self.inner_rates
        self.parameters = [p for module in self.networks.values() for p in module.parameters()]
        self.optimizers = {"main": adamw(self.parameters, config.training)}

    @property
    def why_not_sharded(self) -> str:
        return "its inner steps need whole parameters"

    def _logits(self, batch: Episode, steps: int) -> Tensor:
        """Logits (T, Q, N) of the queries after so many inner steps."""
        training = self.config.training
        return adapted_logits(self.network, self.inner_rates, batch, training, steps=steps)

    def step(self, batch: Episode, update: Update) -> dict[str, Tensor]:
        logits = self._logits(batch, self.config.training.inner_steps)
        losses = query_loss(logits, batch["query_labels"])
        update.apply_gradients(torch.autograd.grad(losses["loss"], self.parameters))
        return {key: value.detach() for key, value in losses.items()}

    def test_logits(self, episode: Episode) -> Tensor:
        training = self.config.training
        return self._logits(episode, training.test_steps or training.inner_steps)
