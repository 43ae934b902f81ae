"""METEOR (Banerjee and Lavie 2005, W05-0909) by nltk."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def meteor(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> float | None:
    """Mean over sentences; None if nltk or its WordNet is not installed.

    Args:
        hypotheses: N sentences of words separated by blanks.
        references: One reference or more for each hypothesis.
    """
    try:
        from nltk.translate.meteor_score import meteor_score

        scores = [
            meteor_score([reference.split() for reference in sentences], hypothesis.split())
            for hypothesis, sentences in zip(hypotheses, references, strict=True)
        ]
    except (ImportError, LookupError):
        return None
    return float(np.mean(scores))
