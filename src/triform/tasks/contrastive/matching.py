"""Matching of images and texts: recall in both directions with intervals, and baselines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from triform.metrics.intervals import share_interval
from triform.metrics.retrieval import metrics_of_ranks, ranks

KS = (1, 5, 10)
PIXELS = 32
"""Side of the images whose pixels are compared."""


def matching_scores(
    similarity: np.ndarray,
    relevant: np.ndarray,
    image_queries: np.ndarray,
    text_queries: np.ndarray,
) -> dict[str, Any]:
    """Recall@1, 5, 10, median rank, and 95 % intervals of recall@1, in both directions.

    Args:
        similarity: (B, N) of images and texts.
        relevant: (B, N) bool, which texts are about which images.
        image_queries: Indices of the images that are searched with; all texts are their gallery.
        text_queries: Indices of the texts that are searched with; all images are their gallery.
    """
    directions = {
        "image_to_text": ranks(similarity[image_queries], relevant[image_queries]),
        "text_to_image": ranks(similarity.T[text_queries], relevant.T[text_queries]),
    }
    scores: dict[str, Any] = {}
    for name, values in directions.items():
        numbers = metrics_of_ranks(values, KS)
        scores |= {f"{name}_recall@{k}": numbers[f"recall@{k}"] for k in KS}
        low, high = share_interval(int((values <= 1).sum()), len(values))
        scores[f"{name}_recall@1_interval95"] = [low, high]
        scores[f"{name}_median_rank"] = numbers["median_rank"]
    return scores


def chance_scores(
    relevant: np.ndarray, image_queries: np.ndarray, text_queries: np.ndarray
) -> dict[str, Any]:
    """Expected recall of a random order, for the queries of `matching_scores`."""
    scores: dict[str, Any] = {}
    for name, mask in (
        ("image_to_text", relevant[image_queries]),
        ("text_to_image", relevant.T[text_queries]),
    ):
        size, found = mask.shape[1], mask.sum(1)
        for k in KS:
            # No relevant one among k of `size` without replacement.
            missed = np.ones(len(mask))
            for draw in range(min(k, size)):
                missed *= np.clip(size - found - draw, 0, None) / (size - draw)
            scores[f"{name}_recall@{k}"] = float(1 - missed.mean())
    return scores


def nearest_similarity(
    queries: np.ndarray, train: np.ndarray, train_groups: np.ndarray, groups: np.ndarray
) -> np.ndarray:
    """Similarity of images to contents by their nearest training image of each content.

    Args:
        queries: (B, F) features of length 1.
        train: (M, F) features of training images, of length 1.
        train_groups: (M,) contents of the training images.
        groups: (N,) contents to compare with; those that are not in the training get -1.

    Returns:
        (B, N).
    """
    order = np.argsort(train_groups, kind="stable")
    known, starts = np.unique(train_groups[order], return_index=True)
    best = np.maximum.reduceat(queries @ train[order].T, starts, axis=1)
    column = np.clip(np.searchsorted(known, groups), 0, len(known) - 1)
    return np.asarray(np.where(known[column] == groups, best[:, column], -1.0))


def pixel_features(images: Sequence[np.ndarray]) -> np.ndarray:
    """Pixels of small images (H, W, 3) without their mean, of length 1: (N, F) float32."""
    rows = np.stack(
        [
            np.asarray(Image.fromarray(image).resize((PIXELS, PIXELS), Image.Resampling.BILINEAR))
            for image in images
        ]
    )
    flat = rows.reshape(len(rows), -1).astype(np.float32)
    flat -= flat.mean(1, keepdims=True)
    return np.asarray(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6))
