"""All scores of captions against the references of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from triform.datasets.captioned.table import CaptionTable
from triform.metrics.bleu import bleu
from triform.metrics.cider import cider_d
from triform.metrics.meteor import meteor
from triform.metrics.rouge import rouge_l
from triform.tasks.captioning.content_accuracy import content_scores
from triform.text.vocabulary import tokenize


def caption_scores(
    table: CaptionTable, rows: np.ndarray, captions: Sequence[str]
) -> tuple[dict[str, Any], str | None]:
    """Score captions.

    Args:
        table: The set.
        rows: N of its rows.
        captions: N captions of them.

    Returns:
        Rounded BLEU-1 to 4 in [0, 100], ROUGE-L, CIDEr-D, METEOR if it is installed, and the
        scores of known contents; and the signature of BLEU.
    """
    hypotheses = [" ".join(tokenize(caption)) for caption in captions]
    references = reference_sentences(table, rows)
    bleu_scores = bleu(hypotheses, references)
    signature = bleu_scores.pop("signature", None)
    scores: dict[str, Any] = {name: round(value, 2) for name, value in bleu_scores.items()}
    scores["rouge_l"] = round(rouge_l(hypotheses, references), 4)
    scores["cider_d"] = round(cider_d(hypotheses, references), 4)
    if (meteor_score := meteor(hypotheses, references)) is not None:
        scores["meteor"] = round(meteor_score, 4)
    return scores | content_scores(table, rows, captions), signature


def reference_sentences(table: CaptionTable, rows: np.ndarray) -> list[list[str]]:
    """The captions of rows, tokenized and joined by blanks."""
    return [[" ".join(tokenize(text)) for text in table.captions[row]] for row in rows]
