"""Reciprocal rank fusion of two rankings (Cormack, Clarke and Büttcher, SIGIR 2009).

A group that has all words of a query counts in full by its place among them, one that has only
some of them little: "light emitting diode" is not answered by whatever is called diode.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

RANK_CONSTANT = 60
"""k of the paper: how little the first places of a ranking differ."""
WORD_WEIGHT = 1.5
"""Weight of the ranking by words, where that of the similarities has 1: what has all of the words
comes before what is only similar (docs/log.md, 2026-11-30)."""
SHARE_POWER = 3
"""How much less a place by words counts where a group has only a share of the words."""
FUSION_DEPTH = 100
"""Places of each ranking that are fused; a later place counts nothing."""


class WordMatch(NamedTuple):
    """How a group matches the words of a query.

    Attributes:
        position: Its position by BM25, from 1; equals share the first of their places.
        share: Share of the words that it has, in (0, 1].
    """

    position: int
    share: float


def fuse_ranks(
    by_similarity: Sequence[str], by_words: Mapping[str, WordMatch], word_weight: float
) -> dict[str, float]:
    """Score of everything that stands in one of two rankings.

    Args:
        by_similarity: Names, best first; its weight is 1.
        by_words: Names and how each matches the words.
        word_weight: Weight of the second ranking.

    Returns:
        Name -> sum over the rankings of weight / (`RANK_CONSTANT` + place), places from 1; the
        weight of a place by words is `word_weight` * share^`SHARE_POWER`.
    """
    scores: dict[str, float] = defaultdict(float)
    for position, name in enumerate(by_similarity, start=1):
        scores[name] += 1 / (RANK_CONSTANT + position)
    for name, match in by_words.items():
        scores[name] += word_weight * match.share**SHARE_POWER / (RANK_CONSTANT + match.position)
    return dict(scores)
