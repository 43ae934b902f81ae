"""Accuracy of anything that classifies, over many tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize
from tqdm import tqdm

from triform.base.seeding import generator
from triform.losses.tasks import query_loss
from triform.metrics.intervals import mean_and_interval

Episode = dict[str, Tensor]
Source = Callable[[Sequence[int], torch.Generator], Episode]
"""Draws a batch of tasks: `support`, `support_labels`, `query`, `query_labels`."""
Answer = Callable[[Episode], Tensor]
"""A batch of tasks to the predicted classes (T, Q) of their queries."""

TASKS_AT_ONCE = 16


def accuracy_of(
    answer: Answer, source: Source, episodes: int, seed: int, *, show: bool = False
) -> dict[str, Any]:
    """Mean accuracy over tasks with its 95 % interval, both in percent.

    Args:
        answer: what is measured.
        source: where the tasks come from; the same seed draws the same ones.
        episodes: how many.
        seed: of the tasks.
        show: show progress.
    """
    scores = []
    starts = range(0, episodes, TASKS_AT_ONCE)
    for start in tqdm(starts, desc="tasks", disable=None if show else True, leave=False):
        numbers = range(start, min(start + TASKS_AT_ONCE, episodes))
        batch = source(numbers, generator("episodes", seed, start))
        right = answer(batch).cpu() == batch["query_labels"]
        scores.append(right.float().mean(1))
    mean, interval = mean_and_interval(torch.cat(scores))
    return {"accuracy": 100 * mean, "interval95": 100 * interval, "episodes": episodes}


def nearest_pixels(episode: Episode) -> Tensor:
    """The baseline: a query (T, Q) is of the class of the example with the most similar pixels.

    Similar by the cosine after each picture's mean is taken away.
    """
    support, query = (
        normalize(flat - flat.mean(-1, keepdim=True), dim=-1)
        for flat in (episode[name].flatten(2).float() for name in ("support", "query"))
    )
    nearest = (query @ support.transpose(1, 2)).argmax(-1)
    return episode["support_labels"].gather(1, nearest)


def loss_and_accuracy(logits: Answer, source: Source, episodes: int, seed: int) -> dict[str, float]:
    """Loss in nats, and accuracy with its 95 % interval in [0, 1].

    Args:
        logits: a batch of tasks to the logits (T, Q, N) of their queries.
        source: where the tasks come from; the same seed draws the same ones.
        episodes: how many.
        seed: of the tasks.
    """
    losses: list[float] = []

    def answer(episode: Episode) -> Tensor:
        said = logits(episode).cpu()
        losses.append(float(query_loss(said, episode["query_labels"])["loss"]))
        return said.argmax(-1)

    scores = accuracy_of(answer, source, episodes, seed)
    return {
        "loss": sum(losses) / len(losses),
        "accuracy": scores["accuracy"] / 100,
        "interval95": scores["interval95"] / 100,
    }
