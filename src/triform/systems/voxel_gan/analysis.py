"""Comparison of texts by their embeddings: cosine similarities and principal components."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from triform.base.csv_file import csv_text
from triform.base.files import atomic_write
from triform.base.paths import cache_dir
from triform.images.chart_text import disable_math_text
from triform.pretrained.text_encoder import embed_texts, load_text_encoder
from triform.systems.voxel_gan.config import ANALYZED_TEXTS, AnalyzeConfig
from triform.tasks.shape_generation.mesh_output import read_lines


def cosine_similarities(embeddings: np.ndarray) -> np.ndarray:
    """Pairwise cosine similarities (N, N) of embeddings (N, D)."""
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True).clip(min=1e-12)
    return np.asarray(unit @ unit.T)


def principal_components(embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First two principal components (N, 2) of embeddings (N, D), and their explained variance.

    The sign makes the largest coordinate of each component positive.

    Returns:
        Coordinates (N, 2), and the share of the variance of each component (2,).
    """
    centred = embeddings - embeddings.mean(0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    coordinates = np.zeros((len(embeddings), 2))
    num_components = min(2, len(s))
    coordinates[:, :num_components] = u[:, :num_components] * s[:num_components]
    largest = coordinates[np.abs(coordinates).argmax(0), [0, 1]]
    coordinates *= np.where(largest < 0, -1, 1)
    explained_variance = np.zeros(2)
    explained_variance[:num_components] = s[:num_components] ** 2 / max((s**2).sum(), 1e-12)
    return coordinates, explained_variance


def analyze(settings: AnalyzeConfig) -> dict[str, Any]:
    """Write similarities.csv, pca.csv and analysis.png, and return the similarities.

    Raises:
        UserError: The text encoder or the file of texts is not there.
    """
    texts = list(settings.text)
    if settings.text_file is not None:
        # A file replaces the default texts, but not texts given by flags.
        texts = read_lines(settings.text_file) + (texts if settings.text != ANALYZED_TEXTS else [])
    encoder = load_text_encoder(settings.text_encoder)
    embeddings = embed_texts(encoder, texts, cache_dir() / "embeddings").astype(np.float64)
    similarities = cosine_similarities(embeddings)
    coordinates, explained_variance = principal_components(embeddings)
    folder = settings.output
    with atomic_write(folder / "similarities.csv", "w") as file:
        table = [
            [text, *(f"{value:.6f}" for value in row)]
            for text, row in zip(texts, similarities, strict=True)
        ]
        file.write(csv_text([["text", *texts], *table], report=True))
    with atomic_write(folder / "pca.csv", "w") as file:
        table = [
            [text, f"{x:.6f}", f"{y:.6f}"] for text, (x, y) in zip(texts, coordinates, strict=True)
        ]
        file.write(csv_text([["text", "component_1", "component_2"], *table], report=True))
    _draw(texts, similarities, coordinates, explained_variance, folder / "analysis.png")
    return {
        "encoder": encoder.name,
        "similarities": [
            {
                "text": text,
                **{other: round(float(v), 4) for other, v in zip(texts, row, strict=True)},
            }
            for text, row in zip(texts, similarities, strict=True)
        ],
        "variance_explained": [round(float(s), 4) for s in explained_variance],
        "files": [str(folder / name) for name in ("similarities.csv", "pca.csv", "analysis.png")],
    }


def _draw(
    texts: list[str],
    similarities: np.ndarray,
    coordinates: np.ndarray,
    explained_variance: np.ndarray,
    path: Path,
) -> None:
    from matplotlib.figure import Figure  # without pyplot, which would look for a display

    figure = Figure(figsize=(13, 5.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    image = left.imshow(similarities, vmin=min(0.0, similarities.min()), vmax=1, cmap="viridis")
    left.set_xticks(range(len(texts)), texts, rotation=40, ha="right")
    left.set_yticks(range(len(texts)), texts)
    left.set_title("cosine similarity")
    if len(texts) <= 12:
        for row, values in enumerate(similarities):
            for column, value in enumerate(values):
                left.text(column, row, f"{value:.2f}", ha="center", va="center", color="white")
    figure.colorbar(image, ax=left, shrink=0.8)
    right.scatter(*coordinates.T)
    for text, (x, y) in zip(texts, coordinates, strict=True):
        right.annotate(text, (x, y), textcoords="offset points", xytext=(5, 5))
    right.margins(0.25)
    right.set_xlabel(f"component 1 ({explained_variance[0]:.0%} of the variance)")
    right.set_ylabel(f"component 2 ({explained_variance[1]:.0%})")
    right.set_title("principal components")
    disable_math_text(figure)
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=110)
