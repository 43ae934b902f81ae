"""Recall@K, mean reciprocal rank and median rank.

Ranks are pessimistic: gallery entries that are exactly as similar as the relevant one are ranked
before it. A model whose embeddings are all equal then scores 0, where optimistic ranks would be
perfect.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int


def ranks(
    similarity: Float[np.ndarray, "q g"], relevant: Int[np.ndarray, " q"] | Bool[np.ndarray, "q g"]
) -> Int[np.ndarray, " q"]:
    """Rank of the best relevant entry of each query, from 1.

    Args:
        similarity: Of each query to each entry of the gallery; larger is nearer.
        relevant: Index of the one relevant entry of each query, or a mask of the relevant entries.

    Raises:
        ValueError: A similarity is not a number, or a query has no relevant entry.
    """
    similarity, relevant = np.asarray(similarity), np.asarray(relevant)
    if similarity.ndim != 2 or not similarity.size:
        raise ValueError(f"similarities of shape {similarity.shape}, expected queries x gallery")
    if np.isnan(similarity).any():
        raise ValueError("a similarity is not a number")
    if relevant.dtype != np.bool_:
        mask = np.zeros(similarity.shape, dtype=bool)
        mask[np.arange(len(mask)), relevant] = True
        relevant = mask
    if not relevant.any(1).all():
        raise ValueError(f"query {int((~relevant.any(1)).argmax())} has no relevant entry")
    best = np.where(relevant, similarity, -np.inf).max(1)
    before = (similarity >= best[:, None]) & ~relevant
    return np.asarray(1 + before.sum(1))


def recall_at(ranks: Int[np.ndarray, " q"], k: int) -> float:
    """Share of the queries whose rank is K or better."""
    return float((np.asarray(ranks) <= k).mean())


def mean_reciprocal_rank(ranks: Int[np.ndarray, " q"]) -> float:
    """Mean of 1 / rank."""
    return float((1 / np.asarray(ranks)).mean())


def retrieval_metrics(
    similarity: Float[np.ndarray, "q g"],
    relevant: Int[np.ndarray, " q"] | Bool[np.ndarray, "q g"],
    ks: Sequence[int] = (1, 3, 5, 10),
) -> dict[str, float]:
    """`recall@K` for each K, `mrr` and `median_rank`."""
    return metrics_of_ranks(ranks(similarity, relevant), ks)


def metrics_of_ranks(
    ranks: Int[np.ndarray, " q"], ks: Sequence[int] = (1, 3, 5, 10)
) -> dict[str, float]:
    """`recall@K` for each K, `mrr` and `median_rank`, from ranks."""
    recalls = {f"recall@{k}": recall_at(ranks, k) for k in ks}
    return recalls | {"mrr": mean_reciprocal_rank(ranks), "median_rank": float(np.median(ranks))}


def chance_metrics(gallery_size: int, ks: Sequence[int] = (1, 3, 5, 10)) -> dict[str, float]:
    """Expected metrics of random guesses where one entry of the gallery is relevant."""
    harmonic = float((1 / np.arange(1, gallery_size + 1)).sum())
    recalls = {f"recall@{k}": min(1.0, k / gallery_size) for k in ks}
    return recalls | {"mrr": harmonic / gallery_size, "median_rank": (gallery_size + 1) / 2}
