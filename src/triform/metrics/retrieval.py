"""Recall@K, mean reciprocal rank: does the right answer come first?

A rank is pessimistic: whatever is exactly as similar as the right answer stands before it. A
model that answers the same to everything then gets nothing, where an optimistic count would call
it perfect.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int


def ranks(
    similarity: Float[np.ndarray, "q g"], relevant: Int[np.ndarray, " q"] | Bool[np.ndarray, "q g"]
) -> Int[np.ndarray, " q"]:
    """Rank of the best right answer of each query, from 1.

    Args:
        similarity: Of each query to each entry of the gallery; larger is nearer.
        relevant: Number of the one right entry of each query, or which entries are right.

    Raises:
        ValueError: A similarity is not a number, or a query has no right answer.
    """
    similarity, relevant = np.asarray(similarity), np.asarray(relevant)
    if similarity.ndim != 2 or not similarity.size:
        raise ValueError(f"similarities of shape {similarity.shape}, expected queries x gallery")
    if np.isnan(similarity).any():
        raise ValueError("a similarity is not a number")
    if relevant.dtype != np.bool_:
        right = np.zeros(similarity.shape, dtype=bool)
        right[np.arange(len(right)), relevant] = True
        relevant = right
    if not relevant.any(1).all():
        raise ValueError(f"query {int((~relevant.any(1)).argmax())} has no right answer")
    best = np.where(relevant, similarity, -np.inf).max(1)
    before = (similarity >= best[:, None]) & ~relevant
    return 1 + before.sum(1)


def recall_at(found: Int[np.ndarray, " q"], k: int) -> float:
    """Share of the queries whose rank is K or better."""
    return float((np.asarray(found) <= k).mean())


def mean_reciprocal_rank(found: Int[np.ndarray, " q"]) -> float:
    """Mean of 1 / rank."""
    return float((1 / np.asarray(found)).mean())


def retrieval_metrics(
    similarity: Float[np.ndarray, "q g"],
    relevant: Int[np.ndarray, " q"] | Bool[np.ndarray, "q g"],
    ks: Sequence[int] = (1, 3, 5, 10),
) -> dict[str, float]:
    """`recall@K` for each K, `mrr` and `median_rank`."""
    return numbers_of(ranks(similarity, relevant), ks)


def numbers_of(found: Int[np.ndarray, " q"], ks: Sequence[int] = (1, 3, 5, 10)) -> dict[str, float]:
    """The same from ranks, of some queries or of all."""
    numbers = {f"recall@{k}": recall_at(found, k) for k in ks}
    return numbers | {"mrr": mean_reciprocal_rank(found), "median_rank": float(np.median(found))}


def random_floor(gallery: int, ks: Sequence[int] = (1, 3, 5, 10)) -> dict[str, float]:
    """What guessing reaches where one entry of the gallery is right."""
    harmonic = float((1 / np.arange(1, gallery + 1)).sum())
    numbers = {f"recall@{k}": min(1.0, k / gallery) for k in ks}
    return numbers | {"mrr": harmonic / gallery, "median_rank": (gallery + 1) / 2}
