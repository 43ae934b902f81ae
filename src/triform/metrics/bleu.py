"""BLEU-1 to BLEU-4 of a corpus, by sacrebleu; by nltk where that is missing.

BLEU (Papineni et al. 2002, doi:10.3115/1073083.1073135) of the same sentences differs widely
between libraries and settings. Here it has one meaning: corpus level, every reference of a
sentence, closest reference length, no smoothing, words as given. The signature says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from triform.base.logging import get_logger

logger = get_logger(__name__)

ORDERS = (1, 2, 3, 4)


def bleu(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]], use_sacrebleu: bool = True
) -> dict[str, Any]:
    """Score sentences against all that people said about the same things.

    Args:
        hypotheses: N sentences of words parted by blanks.
        references: for each of them one reference or more, in the same form.
        use_sacrebleu: False takes nltk even where sacrebleu is installed.

    Returns:
        `bleu1` to `bleu4` in [0, 100] and the `signature`; empty where neither is installed.

    Raises:
        ValueError: nothing to score, or numbers that do not fit.
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
    most = max(map(len, references))
    streams: Any = [[own[k] if k < len(own) else None for own in references] for k in range(most)]
    scores: dict[str, Any] = {}
    for order in ORDERS:
        metric = BLEU(tokenize="none", smooth_method="none", max_ngram_order=order, force=True)
        scores[f"bleu{order}"] = metric.corpus_score(list(hypotheses), streams).score
    scores["signature"] = f"BLEU|{metric.get_signature()}"
    return scores


def _by_nltk(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, Any]:
    import nltk
    from nltk.translate.bleu_score import modified_precision

    own = [[reference.split() for reference in given] for given in references]
    said = [hypothesis.split() for hypothesis in hypotheses]
    scores: dict[str, Any] = {}
    for order in ORDERS:
        weights = (1 / order,) * order
        # nltk puts tiny numbers for what never matched; the score is then 0
        matched = sum(
            modified_precision(a, b, order).numerator for a, b in zip(own, said, strict=True)
        )
        value = nltk.translate.bleu_score.corpus_bleu(own, said, weights) if matched else 0.0
        scores[f"bleu{order}"] = 100 * float(value)
    scores["signature"] = f"BLEU|nltk:{nltk.__version__}|smooth:none|tok:none"
    return scores
