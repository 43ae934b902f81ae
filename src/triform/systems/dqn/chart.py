"""The documented chart of a run: `scores.png` and `scores.csv` in the run directory."""

from __future__ import annotations

import csv
import time
from typing import Any

from triform.base.files import atomic_write
from triform.engine.protocol import Context, Hook
from triform.images.score_chart import draw_scores

SECONDS_BETWEEN = 20.0  # drawing takes as long as learning from some hundred batches


class ScoreChart(Hook):
    """Draws the scores of training and evaluation now and then, and at the end.

    Args:
        scores: (environment steps by then, score) of every training episode; grows from outside.
        title: Name of what is played.

    Attributes:
        evaluations: (training episodes by then, mean score) of every evaluation.
    """

    def __init__(self, scores: list[tuple[int, float]], title: str):
        self.scores, self.title = scores, title
        self.evaluations: list[tuple[int, float]] = []
        self._last = -SECONDS_BETWEEN

    def on_epoch_end(self, context: Context) -> None:
        if not context.reason and time.monotonic() - self._last < SECONDS_BETWEEN:
            return
        scores = [score for _, score in self.scores]
        draw_scores(
            scores,
            context.run_dir / "scores.png",
            title=self.title,
            evaluations=self.evaluations,
        )
        with atomic_write(context.run_dir / "scores.csv", "w") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["episode", "environment_steps", "score"])
            writer.writerows((i, *row) for i, row in enumerate(self.scores, start=1))
        self._last = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        return {"evaluations": [list(each) for each in self.evaluations]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.evaluations = [(int(at), float(score)) for at, score in state["evaluations"]]
