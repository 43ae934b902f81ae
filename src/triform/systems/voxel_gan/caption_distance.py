"""Distance of prompts to the training captions, which travel in the metadata of the weights.

Of many captions those are selected that are near all others. `scripts/prompt_distance.py`
measures how often known and unknown prompts are further than `MAX_DISTANCE` from them.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triform.pretrained.text_encoder import TextEncoder

ENCODER = "minilm"
"""The text encoder for which `MAX_DISTANCE` was measured."""
MAX_DISTANCE = 0.5
"""Cosine distance to the nearest caption beyond which a prompt is unknown."""
MAX_CAPTIONS = 1024
MAX_CANDIDATES = 20_000
TEMPLATE = re.compile(r"^\s*(an? )?3d model of (?=\S)", re.IGNORECASE)
"""Beginning that prompts and training texts share, whatever follows; it would make all near."""


def training_captions(
    encoder: TextEncoder,
    texts: Sequence[str],
    embeddings: NDArray[np.float32],
    max_captions: int = MAX_CAPTIONS,
) -> dict[str, Any]:
    """Select texts that represent all, each the furthest from those before it.

    Args:
        encoder: Their encoder.
        texts: N texts, empty ones allowed.
        embeddings: (N, D) or wider, of length 1.
        max_captions: Texts to select, at most.

    Returns:
        Plain data: the texts, and their embeddings in eight bits as base64; empty for an encoder
        whose distances were not measured.
    """
    rows = np.array([row for row, text in enumerate(texts) if text.strip()], np.int64)
    if encoder.name != ENCODER or not len(rows):
        return {}
    rows = np.random.default_rng(0).permutation(rows)[:MAX_CANDIDATES]
    candidates = embeddings[rows, : encoder.dim]
    selected: list[int] = []
    similarity = np.full(len(rows), -1.0, np.float32)
    while len(selected) < min(max_captions, len(rows)):
        selected.append(int(similarity.argmin()))
        similarity = np.maximum(similarity, candidates @ candidates[selected[-1]])
    vectors = candidates[selected]
    int8 = np.round(vectors / np.abs(vectors).max(axis=1, keepdims=True) * 127).astype(np.int8)
    return {
        "texts": [texts[row] for row in rows[selected]],
        "embeddings": base64.b64encode(int8.tobytes()).decode(),
    }


def nearest_captions(
    embeddings: NDArray[np.float32], captions: Mapping[str, Any]
) -> tuple[NDArray[np.float32], list[str]]:
    """Cosine distances (N,) to the nearest captions, and those captions.

    Args:
        embeddings: (N, D), of length 1.
        captions: Result of `training_captions`, not empty.

    Raises:
        KeyError, TypeError, ValueError: It is not one, or of another width.
    """
    texts = captions["texts"]
    int8 = np.frombuffer(base64.b64decode(captions["embeddings"]), np.int8)
    vectors = int8.reshape(len(texts), embeddings.shape[1]).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    similarities = embeddings @ vectors.T
    nearest = similarities.argmax(axis=1)
    return 1 - similarities.max(axis=1), [texts[index] for index in nearest]
