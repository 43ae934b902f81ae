"""Scores of the episodes of a training run, written as table and chart."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import Any

import torch

from triform.base.files import atomic_write
from triform.tasks.agents.score_chart import WINDOW, draw_scores

STABILITY_WINDOW, STABILITY_WEIGHT = 10, 1e-3
MIN_SECONDS_BETWEEN_WRITES = 20.0  # drawing takes as long as training on some hundred batches


class ScoreRecord:
    """Scores of training and evaluation episodes, saved with the run.

    Scores are sums of the environment's own rewards, also where others are used for learning.

    Args:
        title: Title of the chart.

    Attributes:
        scores: (environment steps so far, score) of each training episode.
        evaluations: (training episodes so far, mean score) of each evaluation.
    """

    def __init__(self, title: str):
        self.title = title
        self.scores: list[tuple[int, float]] = []
        self.evaluations: list[tuple[int, float]] = []
        self._last_write = -MIN_SECONDS_BETWEEN_WRITES

    def add(self, steps: int, score: float) -> None:
        """Add a training episode that ended after `steps` environment steps of the run."""
        self.scores.append((steps, score))

    def add_evaluation(self, score: float) -> float:
        """Add the mean score of an evaluation.

        Returns:
            The number by which the best weights are selected: the score, and among equal scores
            the mean of the last ten. The first weights with the highest possible score in twenty
            episodes often miss it in the twenty-first; those after ten such evaluations rarely do.
        """
        self.evaluations.append((len(self.scores), score))
        last = [earlier for _, earlier in self.evaluations[-STABILITY_WINDOW:]]
        return score + STABILITY_WEIGHT * sum(last) / STABILITY_WINDOW

    def recent(self) -> dict[str, float]:
        """Mean of the last hundred training episodes as `score`; empty before the first episode."""
        last = self.scores[-WINDOW:]
        return {"score": sum(score for _, score in last) / len(last)} if last else {}

    def write(self, folder: Path, *, now: bool = False) -> None:
        """Write `scores.png` and `scores.csv`; at most every 20 seconds unless `now`."""
        if not now and time.monotonic() - self._last_write < MIN_SECONDS_BETWEEN_WRITES:
            return
        draw_scores(
            [score for _, score in self.scores],
            folder / "scores.png",
            title=self.title,
            evaluations=self.evaluations,
        )
        with atomic_write(folder / "scores.csv", "w") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["episode", "environment_steps", "score"])
            writer.writerows((i, *row) for i, row in enumerate(self.scores, start=1))
        self._last_write = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        return {
            "scores": torch.tensor(self.scores, dtype=torch.float64).reshape(-1, 2),
            "evaluations": torch.tensor(self.evaluations, dtype=torch.float64).reshape(-1, 2),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.scores = [(int(steps), float(score)) for steps, score in state["scores"].tolist()]
        self.evaluations = [(int(n), float(score)) for n, score in state["evaluations"].tolist()]
