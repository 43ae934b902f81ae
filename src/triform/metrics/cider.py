"""CIDEr-D: TF-IDF similarity of n-grams (Vedantam et al., arXiv:1411.5726, section 5)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

MAX_ORDER = 4
# Standard deviation of the Gaussian penalty on a difference in length, in words.
SIGMA = 6.0

Ngrams = Counter[tuple[str, ...]]
Vector = dict[tuple[str, ...], float]


def cider_d(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Mean over sentences; document frequencies are those of the references.

    Args:
        hypotheses: N sentences of words separated by blanks, one for each image.
        references: One reference or more for each image. An n-gram that occurs with every image
            has the weight 0, so that a single image always scores 0.

    Returns:
        A number from 0 to 10; 10 if every sentence equals the only reference of its image.
    """
    reference_ngrams = [[_ngrams(sentence) for sentence in sentences] for sentences in references]
    document_frequency: Counter[tuple[str, ...]] = Counter()
    for sentences in reference_ngrams:
        document_frequency.update(
            {ngram for orders in sentences for ngrams in orders for ngram in ngrams}
        )
    log_documents = math.log(len(references))

    def tf_idf(ngrams: Ngrams) -> Vector:
        return {
            ngram: count * (log_documents - math.log(max(document_frequency[ngram], 1)))
            for ngram, count in ngrams.items()
        }

    scores = []
    for hypothesis, sentences in zip(map(_ngrams, hypotheses), reference_ngrams, strict=True):
        vectors = [tf_idf(ngrams) for ngrams in hypothesis]
        total = 0.0
        for reference in sentences:
            # Lengths are compared in bigrams, as in the authors' own code.
            difference = sum(hypothesis[1].values()) - sum(reference[1].values())
            penalty = math.exp(-(difference**2) / (2 * SIGMA**2))
            for vector, ngrams in zip(vectors, reference, strict=True):
                total += _similarity(vector, tf_idf(ngrams)) * penalty
        scores.append(10 * total / MAX_ORDER / len(sentences))
    return sum(scores) / len(scores)


def _ngrams(sentence: str) -> list[Ngrams]:
    """Counts of n-grams for each order from 1 to `MAX_ORDER`."""
    words = sentence.split()
    return [
        Counter(tuple(words[start : start + n]) for start in range(len(words) - n + 1))
        for n in range(1, MAX_ORDER + 1)
    ]


def _similarity(hypothesis: Vector, reference: Vector) -> float:
    """Cosine similarity in which counts above the reference's are clipped."""
    norms = math.hypot(*hypothesis.values()) * math.hypot(*reference.values())
    if not norms:
        return 0.0
    clipped = (
        min(value, reference[ngram]) * reference[ngram]
        for ngram, value in hypothesis.items()
        if ngram in reference
    )
    return sum(clipped) / norms
