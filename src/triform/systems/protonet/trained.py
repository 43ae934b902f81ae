"""A trained embedding, and what its verbs do with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from triform.base.errors import UserError
from triform.datasets.episode_settings import (
    ClassifyConfig,
    EpisodeVerbConfig,
    EvaluateEpisodesConfig,
)
from triform.datasets.episodes import Episode, asked_source
from triform.datasets.few_examples import classify as classify_pictures
from triform.engine.device import pick_device
from triform.engine.trained import find_checkpoint, read_trained
from triform.metrics.episodes import accuracy_of, nearest_pixels
from triform.systems.protonet.config import Config
from triform.systems.protonet.model import ProtoNet

SYSTEM = "protonet"
SHIPPED = "protonet_glyphs"


class Trained:
    """A trained embedding in evaluation mode.

    Attributes:
        source: The file it came from.
        config: The settings of its training.
        network: The network.
    """

    def __init__(self, path: Path, device: torch.device):
        self.source, self.device = path, device
        weights, self.config = read_trained(path, SYSTEM, Config)
        data = self.config.data
        try:
            self.network = ProtoNet(self.config.model, data.channels, data.image_size)
            self.network.load_state_dict(weights["protonet"])
        except (KeyError, RuntimeError) as error:
            raise UserError(f"{path}: its weights do not fit its settings") from error
        self.network.eval().to(device)

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


def _chosen(settings: EpisodeVerbConfig) -> Trained:
    path = find_checkpoint(settings.checkpoint, SYSTEM, shipped=SHIPPED)
    return Trained(path, pick_device(settings.device))


def evaluate(settings: EvaluateEpisodesConfig) -> dict[str, Any]:
    """Accuracy on tasks of classes that were not trained on.

    Raises:
        UserError: No such weights or data, or too few classes for such tasks.
    """
    trained = _chosen(settings)
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
    trained = _chosen(settings)
    data = trained.config.data

    def predict(support: Tensor, labels: Tensor, query: Tensor) -> Tensor:
        episode = {
            "support": support[None],
            "support_labels": labels[None],
            "query": query[None],
        }
        return trained.logits(episode)[0].softmax(-1).cpu()

    return classify_pictures(settings, predict, data.image_size, data.channels)
