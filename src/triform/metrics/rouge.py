"""ROUGE-L: how long a common subsequence a sentence has with a reference (Lin 2004, W04-1013)."""

from __future__ import annotations

from collections.abc import Sequence

# Weight of recall against precision in captioning.
BETA = 1.2


def rouge_l(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Mean over sentences, each with its best precision and recall over all references.

    Args:
        hypotheses: N sentences of words parted by blanks.
        references: for each of them one reference or more.

    Returns:
        A number in [0, 1].
    """
    pairs = zip(hypotheses, references, strict=True)
    scores = [_score(said.split(), [one.split() for one in own]) for said, own in pairs]
    return sum(scores) / len(scores)


def _score(said: list[str], references: list[list[str]]) -> float:
    common = [_longest_common(said, own) for own in references]
    precision = max(length / max(len(said), 1) for length in common)
    recall = max(length / max(len(own), 1) for length, own in zip(common, references, strict=True))
    if not precision or not recall:
        return 0.0
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def _longest_common(a: list[str], b: list[str]) -> int:
    lengths = [0] * (len(b) + 1)
    for word in a:
        diagonal = 0
        for column, other in enumerate(b, start=1):
            above = lengths[column]
            lengths[column] = diagonal + 1 if word == other else max(above, lengths[column - 1])
            diagonal = above
    return lengths[-1]
