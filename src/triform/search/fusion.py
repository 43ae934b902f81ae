"""Reciprocal rank fusion of two rankings (Cormack, Clarke and Büttcher, SIGIR 2009)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

RANK_CONSTANT = 60
"""k of the paper: how little the first places of a ranking differ."""
WORD_WEIGHT = 1.0
"""Weight of the ranking by words, where that of the similarities has 1."""
FUSION_DEPTH = 100
"""Places of each ranking that are fused; a later place counts nothing."""


def fuse_ranks(
    by_similarity: Sequence[str], by_words: Sequence[str], word_weight: float
) -> dict[str, float]:
    """Score of everything that stands in one of two rankings.

    Args:
        by_similarity: Names, best first; its weight is 1.
        by_words: Names, best first.
        word_weight: Weight of the second ranking.

    Returns:
        Name -> sum over the rankings of weight / (`RANK_CONSTANT` + place), places from 1.
    """
    scores: dict[str, float] = defaultdict(float)
    for ranking, weight in ((by_similarity, 1.0), (by_words, word_weight)):
        for place, name in enumerate(ranking, start=1):
            scores[name] += weight / (RANK_CONSTANT + place)
    return dict(scores)
