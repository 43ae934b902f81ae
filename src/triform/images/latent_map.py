"""A map of codes: a point for each picture, coloured by its class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from triform.base.files import atomic_write
from triform.images.chart_text import as_written


def save_latent_map(
    codes: np.ndarray, labels: np.ndarray, classes: Sequence[str], path: Path
) -> None:
    """Saves the two directions in which codes differ most (principal components) as a PNG.

    Args:
        codes: (N, D).
        labels: (N,) indices into `classes`.
        classes: names.
        path: the PNG.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    centred = codes - codes.mean(0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    points = centred @ directions[:2].T if codes.shape[1] > 1 else np.repeat(centred, 2, 1)
    figure = Figure(figsize=(8, 7), dpi=100)
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for number, name in enumerate(classes[:20]):
        mine = points[labels == number]
        axes.scatter(mine[:, 0], mine[:, 1], s=6, label=name, color=f"C{number % 10}")
    if 1 < len(classes) <= 20:
        axes.legend(markerscale=3, fontsize=8)
    axes.set_xlabel("first principal component")
    axes.set_ylabel("second principal component")
    path.parent.mkdir(parents=True, exist_ok=True)
    as_written(figure)
    with atomic_write(path) as stream:
        figure.savefig(stream, format="png", metadata={"Software": None})
