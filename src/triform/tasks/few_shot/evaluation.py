"""Accuracy of few-shot classifiers over many episodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from triform.base.progress import progress_bar
from triform.base.seeding import generator
from triform.metrics.intervals import mean_and_interval
from triform.tasks.few_shot.loss import query_loss

Episode = dict[str, Tensor]
Sampler = Callable[[Sequence[int], torch.Generator], Episode]
"""Samples a batch of episodes: `support`, `support_labels`, `query`, `query_labels`."""
Classifier = Callable[[Episode], Tensor]
"""A batch of episodes to the predicted classes (T, Q) of their queries, or to logits (T, Q, N)."""

BATCH_SIZE = 16


def mean_accuracy(
    classifier: Classifier,
    sampler: Sampler,
    episodes: int,
    seed: int,
    *,
    show_progress: bool = False,
) -> dict[str, Any]:
    """Mean accuracy over episodes with its 95 % interval, both in percent.

    Args:
        classifier: gives predicted classes (T, Q).
        sampler: samples the episodes; the same seed samples the same ones.
        episodes: number of episodes.
        seed: seed of the episodes.
        show_progress: show a progress bar.
    """
    accuracies = []
    starts = range(0, episodes, BATCH_SIZE)
    for start in progress_bar(starts, desc="tasks", disable=not show_progress):
        indices = range(start, min(start + BATCH_SIZE, episodes))
        batch = sampler(indices, generator("episodes", seed, start))
        is_correct = classifier(batch).cpu() == batch["query_labels"]
        accuracies.append(is_correct.float().mean(1))
    mean, interval = mean_and_interval(torch.cat(accuracies))
    return {"accuracy": 100 * mean, "interval95": 100 * interval, "episodes": episodes}


def nearest_pixels(episode: Episode) -> Tensor:
    """The baseline: the class of the support image with the most similar pixels, (T, Q).

    Similarity is the cosine of the images after subtracting the mean of each.
    """
    support, query = (
        normalize(flat - flat.mean(-1, keepdim=True), dim=-1)
        for flat in (episode[name].flatten(2).float() for name in ("support", "query"))
    )
    nearest = (query @ support.transpose(1, 2)).argmax(-1)
    return episode["support_labels"].gather(1, nearest)


def loss_and_accuracy(
    logits: Classifier, sampler: Sampler, episodes: int, seed: int
) -> dict[str, float]:
    """Loss in nats, and accuracy with its 95 % interval in [0, 1].

    Args:
        logits: gives logits (T, Q, N).
        sampler: samples the episodes; the same seed samples the same ones.
        episodes: number of episodes.
        seed: seed of the episodes.
    """
    losses: list[float] = []

    def classifier(episode: Episode) -> Tensor:
        output = logits(episode).cpu()
        losses.append(float(query_loss(output, episode["query_labels"])["loss"]))
        return output.argmax(-1)

    scores = mean_accuracy(classifier, sampler, episodes, seed)
    return {
        "loss": sum(losses) / len(losses),
        "accuracy": scores["accuracy"] / 100,
        "interval95": scores["interval95"] / 100,
    }
