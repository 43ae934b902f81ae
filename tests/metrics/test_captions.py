"""BLEU, ROUGE-L and CIDEr-D against libraries and against numbers worked out by hand."""

import builtins
import math
import random

import pytest
from pycocoevalcap.cider.cider_scorer import CiderScorer

from triform.metrics.bleu import bleu
from triform.metrics.cider import cider_d
from triform.metrics.rouge import rouge_l

WORDS = [
    "a",
    "red",
    "blue",
    "chair",
    "table",
    "lamp",
    "on",
    "under",
    "the",
    "of",
    "wood",
    "small",
    "round",
]


def corpus(seed: int = 0, count: int = 40) -> tuple[list[str], list[list[str]]]:
    """Sentences that share some words with their one to five references."""
    dice = random.Random(seed)

    def sentence() -> str:
        return " ".join(dice.choices(WORDS, k=dice.randint(4, 12)))

    references = [[sentence() for _ in range(dice.randint(1, 5))] for _ in range(count)]
    said = [" ".join(dice.choice(own).split()[: dice.randint(5, 12)]) for own in references]
    return said, references


def test_bleu_is_that_of_sacrebleu():
    from sacrebleu.metrics import BLEU

    said, references = corpus()
    streams = [[own[k] if k < len(own) else None for own in references] for k in range(5)]
    expected = BLEU(tokenize="none", smooth_method="none").corpus_score(said, streams)
    scores = bleu(said, references)
    assert scores["bleu4"] == pytest.approx(expected.score, abs=1e-6)
    assert scores["bleu1"] >= scores["bleu2"] >= scores["bleu3"] >= scores["bleu4"] > 0
    assert "tok:none" in scores["signature"] and "smooth:none" in scores["signature"]


def test_nltk_gives_the_same_numbers():
    said, references = corpus(1)
    ours, theirs = (bleu(said, references, use_sacrebleu=which) for which in (True, False))
    for order in (1, 2, 3, 4):
        assert theirs[f"bleu{order}"] == pytest.approx(ours[f"bleu{order}"], abs=1e-6)
    nothing = bleu(["x y z w"], [["a b c d"]], use_sacrebleu=False)
    assert [nothing[f"bleu{order}"] for order in (1, 2, 3, 4)] == [0, 0, 0, 0]


def test_bleu_is_left_out_where_nothing_can_count_it(monkeypatch):
    original = builtins.__import__

    def without(name, *args, **kwargs):
        if name.partition(".")[0] in ("sacrebleu", "nltk"):
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    assert bleu(["a"], [["a"]]) == {}


@pytest.mark.parametrize(("said", "own"), [([], []), (["a"], []), (["a"], [[]])])
def test_bleu_wants_a_reference_for_each(said, own):
    with pytest.raises(ValueError, match="sets of references"):
        bleu(said, own)


def test_rouge_by_hand():
    """Common: "the cat on mat", 4 of 5 and of 6 words."""
    precision, recall = 4 / 5, 4 / 6
    expected = (1 + 1.44) * precision * recall / (recall + 1.44 * precision)
    said, own = "the cat lay on mat", "the cat sat on the mat"
    assert rouge_l([said], [[own]]) == pytest.approx(expected)
    assert rouge_l([own, "x"], [["y", own], ["y"]]) == pytest.approx(0.5)
    assert rouge_l([""], [["a"]]) == 0


def test_cider_by_hand():
    """Two pictures, no word in common: every n-gram weighs log 2, a right sentence scores 10."""
    references = [["a b c d e"], ["v w x y z"]]
    assert cider_d(["a b c d e", "v w x y z"], references) == pytest.approx(10)
    assert cider_d(["v w x y z", "a b c d e"], references) == 0
    # "a b": both words right, 2 of 5; the pair right, 1 of 4; nothing longer; 3 pairs too short.
    expected = 10 * (2 / math.sqrt(10) + 1 / 2) / 4 * math.exp(-9 / 72)
    assert cider_d(["a b", "q"], references) == pytest.approx(expected / 2)


def test_saying_it_again_and_again_gains_nothing():
    references = [["a b c d e"], ["v w x y z"]]
    once = cider_d(["a b c d e", "v"], references)
    assert cider_d(["a a a a a", "v"], references) < once / 4


def test_cider_is_that_of_its_authors():
    for seed in range(3):
        said, references = corpus(seed)
        scorer = CiderScorer(n=4, sigma=6.0)
        for one, own in zip(said, references, strict=True):
            scorer += (one, own)
        assert cider_d(said, references) == pytest.approx(float(scorer.compute_score()[0]))


def test_repeating_counts_as_often_as_the_reference_says_it():
    """ "a a a b" against "a b": words weigh log 2; of the three "a" one counts.

    Words: (1 * 1 + 1 * 1) / (sqrt(9 + 1) * sqrt(2)); pairs: "a a" twice and "a b" once against
    "a b": 1 / sqrt(5); nothing longer; 3 pairs against 1.
    """
    references = [["a b"], ["v w x y z"]]
    expected = 10 * (2 / math.sqrt(20) + 1 / math.sqrt(5)) / 4 * math.exp(-4 / 72)
    assert cider_d(["a a a b", "q"], references) == pytest.approx(expected / 2)
