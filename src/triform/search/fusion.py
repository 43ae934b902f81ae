"""Reciprocal rank fusion of two rankings (Cormack, Clarke and Büttcher, SIGIR 2009).

A group that has all words of a query counts in full by its place among them, one that has only
some of them little: "light emitting diode" is not answered by whatever is called diode.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

RANK_CONSTANT = 60
"""k of the paper: how little the first places of a ranking differ."""
WORD_WEIGHT = 1.0
"""Weight of the ranking by words, where that of the similarities has 1."""
SHARE_POWER = 3
"""How much less a place by words counts where a group has only a share of the words."""
FUSION_DEPTH = 100
"""Places of each ranking that are fused; a later place counts nothing."""


def fuse_ranks(
    by_similarity: Sequence[str], by_words: Mapping[str, float], word_weight: float
) -> dict[str, float]:
    """Score of everything that stands in one of two rankings.

    Args:
        by_similarity: Names, best first; its weight is 1.
        by_words: Names, best first, and the share in (0, 1] of the query's words that each has.
        word_weight: Weight of the second ranking.

    Returns:
        Name -> sum over the rankings of weight / (`RANK_CONSTANT` + place), places from 1; the
        weight of a place by words is `word_weight` * share^`SHARE_POWER`.
    """
    scores: dict[str, float] = defaultdict(float)
    for place, name in enumerate(by_similarity, start=1):
        scores[name] += 1 / (RANK_CONSTANT + place)
    for place, (name, share) in enumerate(by_words.items(), start=1):
        scores[name] += word_weight * share**SHARE_POWER / (RANK_CONSTANT + place)
    return dict(scores)
