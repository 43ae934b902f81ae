"""Trained initial weights of MAML."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from triform.base.errors import UsageError
from triform.engine.checkpoints.checkpoint import StateDicts
from triform.systems.maml.adaptation import adapted_logits
from triform.systems.maml.config import Config
from triform.systems.maml.model import Classifier, InnerLearningRates, adapted_parameters
from triform.tasks.few_shot.episodes import Episode
from triform.tasks.few_shot.trained import TrainedFewShot


def build_networks(config: Config) -> tuple[Classifier, InnerLearningRates | None]:
    """The classifier, and learned inner rates where the settings ask for them."""
    data, training = config.data, config.training
    classifier = Classifier(config.model, data.channels, data.image_size, data.n_way)
    if not training.learn_inner_lr:
        return classifier, None
    names = adapted_parameters(classifier, anil=training.anil)
    return classifier, InnerLearningRates(names, training.inner_steps, training.inner_lr)


class Trained(TrainedFewShot[Config]):
    """Initial weights that are adapted to each task.

    Attributes:
        network: the classifier.
        inner_rates: learned inner rates, or None.
    """

    system, shipped = "maml", "maml_glyphs"
    config_class = Config

    def build(self, tensors: StateDicts) -> Mapping[str, nn.Module]:
        self.network, self.inner_rates = build_networks(self.config)
        networks: dict[str, nn.Module] = {"classifier": self.network}
        return networks | ({"inner_rates": self.inner_rates} if self.inner_rates else {})

    def check_task(self, n_way: int, *, transductive: bool = False) -> None:
        if transductive:
            raise UsageError("--transductive: norms of maml look at one image alone; leave it out")
        if n_way > self.config.data.n_way:
            raise UsageError(
                f"n_way: {n_way} classes, but these weights have {self.config.data.n_way} outputs; "
                f"train with --n_way {n_way}, or use protonet, which takes any number"
            )

    def test_logits(self, episode: Episode, *, transductive: bool) -> Tensor:
        training = self.config.training
        steps = training.test_steps or training.inner_steps
        return adapted_logits(self.network, self.inner_rates, episode, training, steps=steps)
