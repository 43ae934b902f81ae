"""Chart of a training run: score of each episode, and rolling mean of a hundred."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from triform.base.files import atomic_write
from triform.images.chart_text import disable_math_text

WINDOW = 100


def rolling_mean(scores: Sequence[float], window: int = WINDOW) -> np.ndarray:
    """Mean of the last `window` scores at each episode; of fewer at the start."""
    values = np.asarray(scores, float)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - window)
    means: np.ndarray = (sums[ends] - sums[starts]) / (ends - starts)
    return means


def draw_scores(
    scores: Sequence[float],
    path: Path,
    *,
    title: str = "",
    evaluations: Sequence[tuple[int, float]] = (),
) -> None:
    """Draw the documented chart: score per episode, and rolling mean of 100 episodes.

    Args:
        scores: Score of each training episode, in order; may be empty.
        path: PNG file.
        title: Title of the left half.
        evaluations: (training episodes so far, mean score), drawn into the right half.
    """
    from matplotlib.figure import Figure  # without pyplot, which needs a display

    figure = Figure(figsize=(12, 4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    episodes = np.arange(1, len(scores) + 1)
    left.plot(episodes, scores, linewidth=0.7, color="tab:blue")
    left.set_title(f"Score per episode{f', {title}' if title else ''}")
    right.plot(episodes, rolling_mean(scores), color="tab:blue", label="training, with exploration")
    if evaluations:
        positions, values = zip(*evaluations, strict=True)
        right.plot(positions, values, ".", color="tab:orange", label="evaluation")
        right.legend(loc="best")
    right.set_title(f"Rolling mean ({WINDOW} episodes)")
    for axes in (left, right):
        axes.set_xlabel("Episode")
        axes.grid(alpha=0.3)
    left.set_ylabel("Score")
    disable_math_text(figure)
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=100)
