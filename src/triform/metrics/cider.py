"""CIDEr-D: agreement in the words that matter (Vedantam et al., arXiv:1411.5726, 5)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

LARGEST_ORDER = 4
# Width of the penalty on a difference in length, in words.
SIGMA = 6.0

Ngrams = Counter[tuple[str, ...]]
Vector = dict[tuple[str, ...], float]


def cider_d(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Mean over sentences; how much a word sequence counts is taken from the references.

    Args:
        hypotheses: N sentences of words parted by blanks, of as many pictures.
        references: for each of them one reference or more. A sequence that occurs with every
            picture counts nothing, so that a single picture always scores 0.

    Returns:
        A number from 0 to 10 where every sentence is a reference of its own and the only one.
    """
    counted = [[_ngrams(one) for one in own] for own in references]
    seen: Counter[tuple[str, ...]] = Counter()
    for own in counted:
        seen.update(
            {ngram for order in range(LARGEST_ORDER) for one in own for ngram in one[order]}
        )
    logarithm = math.log(len(references))

    def weigh(ngrams: Ngrams) -> Vector:
        return {
            ngram: count * (logarithm - math.log(max(seen[ngram], 1)))
            for ngram, count in ngrams.items()
        }

    scores = []
    for said, own in zip(map(_ngrams, hypotheses), counted, strict=True):
        vectors = [weigh(said[order]) for order in range(LARGEST_ORDER)]
        total = 0.0
        for one in own:
            # Lengths are compared in pairs of words, as the authors' own code does.
            gap = sum(said[1].values()) - sum(one[1].values())
            penalty = math.exp(-(gap**2) / (2 * SIGMA**2))
            for order, vector in enumerate(vectors):
                total += _similarity(vector, weigh(one[order])) * penalty
        scores.append(10 * total / LARGEST_ORDER / len(own))
    return sum(scores) / len(scores)


def _ngrams(sentence: str) -> list[Ngrams]:
    words = sentence.split()
    return [
        Counter(tuple(words[at : at + n]) for at in range(len(words) - n + 1))
        for n in range(1, LARGEST_ORDER + 1)
    ]


def _similarity(said: Vector, own: Vector) -> float:
    """Cosine, in which repeating what the reference says once gains nothing."""
    norms = math.hypot(*said.values()) * math.hypot(*own.values())
    if not norms:
        return 0.0
    return sum(min(value, own[k]) * own[k] for k, value in said.items() if k in own) / norms
