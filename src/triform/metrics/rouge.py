"""ROUGE-L: F-score of the longest common subsequence with a reference (Lin 2004, W04-1013)."""

from __future__ import annotations

from collections.abc import Sequence

# Weight of recall against precision in captioning.
BETA = 1.2


def rouge_l(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Mean over sentences, each with its best precision and recall over all references.

    Args:
        hypotheses: N sentences of words separated by blanks.
        references: One reference or more for each hypothesis.

    Returns:
        A number in [0, 1].
    """
    pairs = zip(hypotheses, references, strict=True)
    scores = [
        _score(hypothesis.split(), [reference.split() for reference in sentences])
        for hypothesis, sentences in pairs
    ]
    return sum(scores) / len(scores)


def _score(hypothesis: list[str], references: list[list[str]]) -> float:
    lengths = [_lcs_length(hypothesis, reference) for reference in references]
    precision = max(length / max(len(hypothesis), 1) for length in lengths)
    recall = max(
        length / max(len(reference), 1)
        for length, reference in zip(lengths, references, strict=True)
    )
    if not precision or not recall:
        return 0.0
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def _lcs_length(a: list[str], b: list[str]) -> int:
    """Length of the longest common subsequence."""
    lengths = [0] * (len(b) + 1)
    for word in a:
        diagonal = 0
        for column, other in enumerate(b, start=1):
            above = lengths[column]
            lengths[column] = diagonal + 1 if word == other else max(above, lengths[column - 1])
            diagonal = above
    return lengths[-1]
