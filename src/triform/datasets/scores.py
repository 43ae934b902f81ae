"""What a training run scored, episode by episode: kept, and written as table and chart."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import Any

import torch

from triform.base.files import atomic_write
from triform.images.score_chart import WINDOW, draw_scores

STEADY, TIE_BREAK = 10, 1e-3
SECONDS_BETWEEN = 20.0  # drawing takes as long as learning from some hundred batches


class ScoreRecord:
    """Scores of training and of evaluation; what a checkpoint keeps of them.

    Scores are sums of the environment's own rewards, whatever was learned with.

    Args:
        title: Name of what is played.

    Attributes:
        scores: (environment steps by then, score) of every training episode.
        evaluations: (training episodes by then, mean score) of every evaluation.
    """

    def __init__(self, title: str):
        self.title = title
        self.scores: list[tuple[int, float]] = []
        self.evaluations: list[tuple[int, float]] = []
        self._last = -SECONDS_BETWEEN

    def add(self, steps: int, score: float) -> None:
        """Note a training episode that ended after so many environment steps of the run."""
        self.scores.append((steps, score))

    def add_evaluation(self, score: float) -> float:
        """Note the mean score of an evaluation.

        Returns:
            What the best weights are chosen by: the score, and among equal scores how steady
            it was. The first weights that reach the highest score there is in twenty episodes
            often miss it in the twenty-first; those after ten such evaluations rarely do.
        """
        self.evaluations.append((len(self.scores), score))
        last = [earlier for _, earlier in self.evaluations[-STEADY:]]
        return score + TIE_BREAK * sum(last) / STEADY

    def recent(self) -> dict[str, float]:
        """The mean of the last hundred training episodes as `score`; empty before the first."""
        last = self.scores[-WINDOW:]
        return {"score": sum(score for _, score in last) / len(last)} if last else {}

    def write(self, folder: Path, *, now: bool = False) -> None:
        """Write `scores.png` and `scores.csv`, unless it was done a moment ago."""
        if not now and time.monotonic() - self._last < SECONDS_BETWEEN:
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
        self._last = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        return {
            "scores": torch.tensor(self.scores, dtype=torch.float64).reshape(-1, 2),
            "evaluations": torch.tensor(self.evaluations, dtype=torch.float64).reshape(-1, 2),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.scores = [(int(steps), float(score)) for steps, score in state["scores"].tolist()]
        self.evaluations = [(int(n), float(score)) for n, score in state["evaluations"].tolist()]
