"""Scatter plot of latents by their principal components, coloured by class."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from triform.base.files import atomic_write
from triform.images.chart_text import disable_math_text

MAX_CLASSES = 20
"""Classes that get a colour of their own."""


def save_latent_map(
    latents: np.ndarray, labels: np.ndarray, classes: Sequence[str], path: Path
) -> None:
    """Save the first two principal components of latents as a PNG.

    Args:
        latents: (N, D).
        labels: (N,) indices into `classes`.
        classes: Names of the classes.
        path: The PNG.
    """
    from matplotlib.figure import Figure  # without pyplot, which needs a display

    centred = latents - latents.mean(0)
    _, _, components = np.linalg.svd(centred, full_matrices=False)
    points = centred @ components[:2].T if latents.shape[1] > 1 else np.repeat(centred, 2, 1)
    figure = Figure(figsize=(8, 7), dpi=100)
    axes = figure.subplots()
    for index, name in enumerate(classes[:MAX_CLASSES]):
        of_class = points[labels == index]
        axes.scatter(of_class[:, 0], of_class[:, 1], s=6, label=name, color=f"C{index % 10}")
    if 1 < len(classes) <= MAX_CLASSES:
        axes.legend(markerscale=3, fontsize=8)
    axes.set_xlabel("first principal component")
    axes.set_ylabel("second principal component")
    disable_math_text(figure)
    with atomic_write(path) as stream:
        figure.savefig(stream, format="png", metadata={"Software": None})
