"""Captioning baselines without training: the majority caption and the nearest neighbour's."""

from __future__ import annotations

from collections import Counter

import numpy as np
from PIL import Image

from triform.datasets.captioned.table import CaptionTable

SIDE = 32
NEAR_COPY = 0.97
"""Cosine similarity of pixels from which two drawings look the same."""
_CHUNK = 256


def baseline_captions(
    table: CaptionTable, train: np.ndarray, rows: np.ndarray
) -> dict[str, list[str]]:
    """Caption images by the training captions, without a network.

    Args:
        table: The set.
        train: Training rows.
        rows: N rows to caption.

    Returns:
        `majority`: the most frequent caption for all; `nearest neighbour`: the first caption of the
        training image with the most similar pixels.
    """
    counts = Counter(caption for row in train for caption in table.captions[row])
    (majority, _), *_ = counts.most_common(1)
    nearest, _ = nearest_images(table, train, rows)
    return {
        "majority": [majority] * len(rows),
        "nearest neighbour": [table.captions[row][0] for row in nearest],
    }


def nearest_images(
    table: CaptionTable, train: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The training image most similar to each of N rows (N,), and the similarity (N,).

    Similarity is the cosine of pixels (32 x 32) after subtraction of the mean.
    """
    keys, queries = _pixel_vectors(table, train), _pixel_vectors(table, rows)
    chunks = np.array_split(queries, max(1, len(queries) // _CHUNK))
    nearest = np.concatenate([(chunk @ keys.T).argmax(1) for chunk in chunks])
    return train[nearest], (queries * keys[nearest]).sum(1)


def _pixel_vectors(table: CaptionTable, rows: np.ndarray) -> np.ndarray:
    """Centred pixels of unit norm, (N, SIDE * SIDE * 3) float32."""
    vectors = np.empty((len(rows), SIDE * SIDE * 3), np.float32)
    for index, row in enumerate(rows):
        image = Image.fromarray(table.images.image(int(row))).resize((SIDE, SIDE))
        vectors[index] = np.asarray(image, np.float32).ravel()
    vectors -= vectors.mean(1, keepdims=True)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    return vectors
