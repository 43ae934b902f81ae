"""Trained weights to begin with, and what their verbs do with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from triform.base.errors import UsageError
from triform.datasets.episode_settings import ClassifyConfig, EvaluateEpisodesConfig
from triform.datasets.episodes import Episode, asked_source
from triform.datasets.few_examples import classify as classify_pictures
from triform.engine.checkpoint import StateDicts
from triform.engine.trained import TrainedModel
from triform.metrics.episodes import accuracy_of, nearest_pixels
from triform.systems.maml.config import Config
from triform.systems.maml.model import Classifier, InnerRates, learned_within
from triform.systems.maml.tasks import task_logits


class Trained(TrainedModel[Config]):
    """Weights to begin a task with.

    Attributes:
        network: The classifier.
        inner_rates: Learned inner rates, or None.
    """

    system = "maml"
    config_class = Config

    def build(self, tensors: StateDicts) -> Mapping[str, nn.Module]:
        data, training = self.config.data, self.config.training
        self.inner_rates: InnerRates | None = None
        self.network = Classifier(self.config.model, data.channels, data.image_size, data.n_way)
        if not training.learn_inner_lr:
            return {"classifier": self.network}
        names = learned_within(self.network, anil=training.anil)
        self.inner_rates = InnerRates(names, training.inner_steps, training.inner_lr)
        return {"classifier": self.network, "inner_rates": self.inner_rates}

    @torch.no_grad()
    def logits(self, episode: Episode) -> Tensor:
        """Logits (T, Q, n_way) of tasks with at most as many classes as were trained for."""
        training = self.config.training
        on = {key: value.to(self.device) for key, value in episode.items()}
        steps = training.test_steps or training.inner_steps
        return task_logits(self.network, self.inner_rates, on, training, steps=steps)


def evaluate(settings: EvaluateEpisodesConfig) -> dict[str, Any]:
    """Accuracy on tasks of classes that were not trained on.

    Raises:
        UsageError: More classes than the last layer has outputs, or transductive asked for.
        UserError: No such weights or data, or too few classes for such tasks.
    """
    trained = Trained.choose(settings.checkpoint, settings.device)
    own = trained.config.data
    if settings.transductive:
        raise UsageError("--transductive: norms of maml look at one picture alone; leave it out")
    _check_ways(settings.n_way, own.n_way)
    dataset, source = asked_source(settings, own)

    def answer(episode: Episode) -> Tensor:
        return trained.logits(episode)[..., : settings.n_way].argmax(-1)

    scores = accuracy_of(answer, source, settings.episodes, settings.seed, show=True)
    plain = accuracy_of(nearest_pixels, source, settings.episodes, settings.seed)
    return {
        "checkpoint": str(trained.source),
        "dataset": dataset,
        "task": f"{settings.n_way}-way {settings.n_shot}-shot",
        "mode": "inductive",
        **scores,
        "nearest_pixels_accuracy": plain["accuracy"],
        "nearest_pixels_interval95": plain["interval95"],
    }


def classify(settings: ClassifyConfig) -> list[dict[str, Any]]:
    """Class of each picture, after learning a few examples.

    Raises:
        UsageError: More classes of examples than the last layer has outputs.
        UserError: No such weights or pictures, or fewer than two classes of examples.
    """
    trained = Trained.choose(settings.checkpoint, settings.device)
    data = trained.config.data

    def predict(support: Tensor, labels: Tensor, query: Tensor) -> Tensor:
        classes = int(labels.max()) + 1
        _check_ways(classes, data.n_way)
        episode = {"support": support[None], "support_labels": labels[None], "query": query[None]}
        return trained.logits(episode)[0, :, :classes].softmax(-1).cpu()

    return classify_pictures(settings, predict, data.image_size, data.channels)


def _check_ways(asked: int, trained: int) -> None:
    if asked > trained:
        raise UsageError(
            f"n_way: {asked} classes, but these weights have {trained} outputs; "
            f"train with --n_way {asked}, or use protonet, which takes any number"
        )
