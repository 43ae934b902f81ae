"""A trained embedding, and what its verbs do with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from triform.datasets.episode_settings import (
    ClassifyConfig,
    EvaluateEpisodesConfig,
)
from triform.datasets.episodes import Episode, asked_source
from triform.datasets.few_examples import classify as classify_pictures
from triform.engine.checkpoint import StateDicts
from triform.engine.trained import TrainedModel
from triform.metrics.episodes import accuracy_of, nearest_pixels
from triform.systems.protonet.config import Config
from triform.systems.protonet.model import ProtoNet


class Trained(TrainedModel[Config]):
    """A trained embedding in evaluation mode.

    Attributes:
        network: The network.
    """

    system, shipped = "protonet", "protonet_glyphs"
    config_class = Config

    def build(self, tensors: StateDicts) -> Mapping[str, nn.Module]:
        data = self.config.data
        self.network = ProtoNet(self.config.model, data.channels, data.image_size)
        return {"protonet": self.network}

    @torch.no_grad()
    def logits(self, episode: Episode, *, transductive: bool = False) -> Tensor:
        """Logits (T, Q, N) of tasks; transductive norms look at all pictures of a task at once."""
        on = {key: value.to(self.device) for key, value in episode.items()}
        n_way = int(on["support_labels"].max()) + 1
        if not transductive:
            return self.network(on["support"], on["support_labels"], on["query"], n_way)
        self.network.train()
        kept = {name: buffer.clone() for name, buffer in self.network.named_buffers()}
        each = [
            self.network(s[None], y[None], q[None], n_way)
            for s, y, q in zip(on["support"], on["support_labels"], on["query"], strict=True)
        ]
        self.network.eval()
        for name, buffer in self.network.named_buffers():
            buffer.copy_(kept[name])
        return torch.cat(each)


def evaluate(settings: EvaluateEpisodesConfig) -> dict[str, Any]:
    """Accuracy on tasks of classes that were not trained on.

    Raises:
        UserError: No such weights or data, or too few classes for such tasks.
    """
    trained = Trained.choose(settings.checkpoint, settings.device)
    dataset, source = asked_source(settings, trained.config.data)

    def answer(episode: Episode) -> Tensor:
        return trained.logits(episode, transductive=settings.transductive).argmax(-1)

    scores = accuracy_of(answer, source, settings.episodes, settings.seed, show=True)
    plain = accuracy_of(nearest_pixels, source, settings.episodes, settings.seed)
    return {
        "checkpoint": str(trained.source),
        "dataset": dataset,
        "task": f"{settings.n_way}-way {settings.n_shot}-shot",
        "mode": "transductive" if settings.transductive else "inductive",
        **scores,
        "nearest_pixels_accuracy": plain["accuracy"],
        "nearest_pixels_interval95": plain["interval95"],
    }


def classify(settings: ClassifyConfig) -> list[dict[str, Any]]:
    """Class of each picture, by a few examples.

    Raises:
        UserError: No such weights or pictures, or fewer than two classes of examples.
    """
    trained = Trained.choose(settings.checkpoint, settings.device)
    data = trained.config.data

    def predict(support: Tensor, labels: Tensor, query: Tensor) -> Tensor:
        episode = {
            "support": support[None],
            "support_labels": labels[None],
            "query": query[None],
        }
        return trained.logits(episode)[0].softmax(-1).cpu()

    return classify_pictures(settings, predict, data.image_size, data.channels)
