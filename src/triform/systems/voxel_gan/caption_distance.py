"""Distance of a prompt to what the shipped weights were trained on.

`caption_centroids.safetensors` holds the centroids of the embeddings of their training captions, in
eight bits. `benchmarks/prompt_distance.py` makes it, selects `MAX_DISTANCE` and measures how often
known and unknown prompts are beyond it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from triform.base.paths import cache_dir
from triform.pretrained.text_encoder import TextEncoder, embed_texts

ENCODER = "minilm"
"""Text encoder of the centroids."""
CENTROIDS = Path(__file__).with_name("caption_centroids.safetensors")
MAX_DISTANCE = 0.5
"""Cosine distance to the nearest centroid beyond which a prompt is unknown."""


def unknown_prompts(encoder: TextEncoder, prompts: Sequence[str]) -> list[str]:
    """The prompts that are far from every training caption; none for another encoder."""
    if encoder.name != ENCODER or not prompts:
        return []
    embeddings = embed_texts(encoder, prompts, cache_dir() / "embeddings")
    distances = centroid_distances(embeddings, shipped_centroids())
    return [
        prompt
        for prompt, distance in zip(prompts, distances, strict=True)
        if distance > MAX_DISTANCE
    ]


def centroid_distances(
    embeddings: NDArray[np.float32], centroids: NDArray[np.int8]
) -> NDArray[np.float32]:
    """Cosine distance (N,) of embeddings (N, D) of length 1 to the nearest of centroids (K, D)."""
    scaled = centroids.astype(np.float32)
    scaled /= np.linalg.norm(scaled, axis=1, keepdims=True)
    nearest: NDArray[np.float32] = (embeddings @ scaled.T).max(axis=1)
    return 1 - nearest


@cache
def shipped_centroids() -> NDArray[np.int8]:
    """The centroids (K, D) that come with the shipped weights."""
    return load_file(CENTROIDS)["centroids"]
