"""All scores of captions, by hand."""

import math

import numpy as np
import pytest

from triform.datasets.captioned.table import ArrayImages, make_table
from triform.metrics.cider import cider_d
from triform.tasks.captioning.caption_scores import caption_scores


def test_every_score_by_hand():
    """Unigrams are all right, three words stand for four; the second half has half of its words."""
    images = ArrayImages(np.zeros((3, 4, 4, 3), np.uint8), ("x", "y", "z"))
    captions = (("something else",), ("a red cat", "red cat"), ("big dog",))
    table = make_table(
        "emoji",
        images,
        captions,
        {"test": np.array([1, 2])},
        contents=("something else", "red cat", "big dog"),
    )
    scores, signature = caption_scores(table, np.array([1, 2]), ["Red cat!", "dog"])
    second = (1 + 1.2**2) * 0.5 / (0.5 + 1.2**2)
    references = [["a red cat", "red cat"], ["big dog"]]
    expected = {
        "bleu1": 100 * math.exp(1 - 4 / 3),
        "rouge_l": (1 + second) / 2,
        "cider_d": cider_d(["red cat", "dog"], references),
        "exact_name": 0.5,
    }
    assert {name: scores[name] for name in expected} == pytest.approx(expected, abs=6e-3)
    assert scores["rouge_l"] == round(expected["rouge_l"], 4) and "nrefs" in signature
    assert scores["bleu2"] == pytest.approx(100 * math.exp(1 - 4 / 3), abs=6e-3)
