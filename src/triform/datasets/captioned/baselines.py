"""Captions without learning, to hold learned ones against."""

from __future__ import annotations

from collections import Counter

import numpy as np
from PIL import Image

from triform.datasets.captioned.table import CaptionTable

SIDE = 32
NEAR_COPY = 0.97


def baseline_captions(
    table: CaptionTable, known: np.ndarray, rows: np.ndarray
) -> dict[str, list[str]]:
    """What two captioners without a network say about pictures.

    Args:
        table: the set.
        known: rows they may look at (those of the training).
        rows: N rows to caption.

    Returns:
        `majority`: the most frequent caption for all; `nearest neighbour`: the first caption of the
        picture with the most similar pixels (32 x 32, cosine after the mean is taken away).
    """
    counts = Counter(caption for row in known for caption in table.captions[row])
    (most, _), *_ = counts.most_common(1)
    nearest, _ = nearest_pictures(table, known, rows)
    return {
        "majority": [most] * len(rows),
        "nearest neighbour": [table.captions[row][0] for row in nearest],
    }


def nearest_pictures(
    table: CaptionTable, known: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Which known picture is most similar to each of N rows (N,), and how similar (N,) it is.

    Similar by the cosine of pixels (32 x 32) after the mean is taken away. From `NEAR_COPY` on two
    drawings are the same to the eye.
    """
    seen, asked = _pixels(table, known), _pixels(table, rows)
    found = [(block @ seen.T).argmax(1) for block in _blocks(asked)]
    numbers = np.concatenate(found)
    return known[numbers], (asked * seen[numbers]).sum(1)


def _pixels(table: CaptionTable, rows: np.ndarray) -> np.ndarray:
    vectors = np.empty((len(rows), SIDE * SIDE * 3), np.float32)
    for place, row in enumerate(rows):
        picture = Image.fromarray(table.pictures.picture(int(row))).resize((SIDE, SIDE))
        vectors[place] = np.asarray(picture, np.float32).ravel()
    vectors -= vectors.mean(1, keepdims=True)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)


def _blocks(vectors: np.ndarray) -> list[np.ndarray]:
    return np.array_split(vectors, max(1, len(vectors) // 256))
