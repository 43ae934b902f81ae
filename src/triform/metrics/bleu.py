"""BLEU-1 to BLEU-4 of a corpus, by sacrebleu; by nltk where that is missing.

BLEU (Papineni et al. 2002, doi:10.3115/1073083.1073135) of the same sentences differs widely
between libraries and settings. Here it has one meaning: corpus level, every reference of a
sentence, closest reference length, no smoothing, words as they are. The signature says so.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from triform.base.logging import get_logger

logger = get_logger(__name__)

ORDERS = (1, 2, 3, 4)


def bleu(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]], use_sacrebleu: bool = True
) -> dict[str, Any]:
    """Score sentences against all references of each.

    Args:
        hypotheses: N sentences of words separated by blanks.
        references: One reference or more for each hypothesis, in the same form.
        use_sacrebleu: False uses nltk even if sacrebleu is installed.

    Returns:
        `bleu1` to `bleu4` in [0, 100] and the `signature`; empty if neither is installed.

    Raises:
        ValueError: Nothing to score, or other numbers of hypotheses and references.
    """
    if not hypotheses or len(hypotheses) != len(references) or not all(references):
        raise ValueError(
            f"BLEU needs as many sets of references as sentences, none empty: "
            f"{len(hypotheses)} sentences, {len(references)} sets"
        )
    if use_sacrebleu:
        try:
            return _by_sacrebleu(hypotheses, references)
        except ImportError:
            pass
    try:
        return _by_nltk(hypotheses, references)
    except ImportError:
        logger.warning("BLEU is left out: neither sacrebleu nor nltk is installed")
        return {}


def _by_sacrebleu(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, Any]:
    from sacrebleu.metrics import BLEU

    # Stream k holds the k-th reference of every sentence, None where there is none.
    streams: Any = list(itertools.zip_longest(*references))
    scores: dict[str, Any] = {}
    for order in ORDERS:
        metric = BLEU(tokenize="none", smooth_method="none", max_ngram_order=order, force=True)
        scores[f"bleu{order}"] = metric.corpus_score(list(hypotheses), streams).score
    scores["signature"] = f"BLEU|{metric.get_signature()}"
    return scores


def _by_nltk(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, Any]:
    import nltk
    from nltk.translate.bleu_score import modified_precision

    reference_words = [[sentence.split() for sentence in sentences] for sentences in references]
    words = [hypothesis.split() for hypothesis in hypotheses]
    scores: dict[str, Any] = {}
    for order in ORDERS:
        weights = (1 / order,) * order
        # nltk replaces precisions of 0 by tiny numbers; the score is then 0
        matches = sum(
            modified_precision(targets, hypothesis, order).numerator
            for targets, hypothesis in zip(reference_words, words, strict=True)
        )
        value = (
            nltk.translate.bleu_score.corpus_bleu(reference_words, words, weights)
            if matches
            else 0.0
        )
        scores[f"bleu{order}"] = 100 * float(value)
    scores["signature"] = f"BLEU|nltk:{nltk.__version__}|smooth:none|tok:none"
    return scores
