"""BLEU, ROUGE-L and CIDEr-D against libraries and against numbers worked out by hand."""

import builtins
import math
import random

import pytest
from pycocoevalcap.cider.cider_scorer import CiderScorer

from triform.metrics.bleu import bleu
from triform.metrics.cider import cider_d
from triform.metrics.meteor import meteor
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
    rng = random.Random(seed)

    def sentence() -> str:
        return " ".join(rng.choices(WORDS, k=rng.randint(4, 12)))

    references = [[sentence() for _ in range(rng.randint(1, 5))] for _ in range(count)]
    hypotheses = [" ".join(rng.choice(own).split()[: rng.randint(5, 12)]) for own in references]
    return hypotheses, references


def test_bleu_is_that_of_sacrebleu():
    from sacrebleu.metrics import BLEU

    hypotheses, references = corpus()
    streams = [[own[k] if k < len(own) else None for own in references] for k in range(5)]
    expected = BLEU(tokenize="none", smooth_method="none").corpus_score(hypotheses, streams)
    scores = bleu(hypotheses, references)
    assert scores["bleu4"] == pytest.approx(expected.score, abs=1e-6)
    assert scores["bleu1"] >= scores["bleu2"] >= scores["bleu3"] >= scores["bleu4"] > 0
    assert "tok:none" in scores["signature"] and "smooth:none" in scores["signature"]


def test_nltk_gives_the_same_numbers():
    hypotheses, references = corpus(1)
    ours, theirs = (bleu(hypotheses, references, use_sacrebleu=which) for which in (True, False))
    for order in (1, 2, 3, 4):
        assert theirs[f"bleu{order}"] == pytest.approx(ours[f"bleu{order}"], abs=1e-6)
    nothing = bleu(["x y z w"], [["a b c d"]], use_sacrebleu=False)
    assert [nothing[f"bleu{order}"] for order in (1, 2, 3, 4)] == [0, 0, 0, 0]


def test_bleu_is_empty_without_its_libraries(monkeypatch):
    original = builtins.__import__

    def without(name, *args, **kwargs):
        if name.partition(".")[0] in ("sacrebleu", "nltk"):
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    assert bleu(["a"], [["a"]]) == {}


@pytest.mark.parametrize(("hypotheses", "references"), [([], []), (["a"], []), (["a"], [[]])])
def test_bleu_needs_references_for_each_hypothesis(hypotheses, references):
    with pytest.raises(ValueError, match="sets of references"):
        bleu(hypotheses, references)


def test_rouge_by_hand():
    """Common: "the cat on mat", 4 of 5 and of 6 words."""
    precision, recall = 4 / 5, 4 / 6
    expected = (1 + 1.44) * precision * recall / (recall + 1.44 * precision)
    hypothesis, reference = "the cat lay on mat", "the cat sat on the mat"
    assert rouge_l([hypothesis], [[reference]]) == pytest.approx(expected)
    assert rouge_l([reference, "x"], [["y", reference], ["y"]]) == pytest.approx(0.5)
    assert rouge_l([""], [["a"]]) == 0


def test_cider_by_hand():
    """Two images, no word in common: every n-gram weighs log 2, a right sentence scores 10."""
    references = [["a b c d e"], ["v w x y z"]]
    assert cider_d(["a b c d e", "v w x y z"], references) == pytest.approx(10)
    assert cider_d(["v w x y z", "a b c d e"], references) == 0
    # "a b": both words right, 2 of 5; the pair right, 1 of 4; nothing longer; 3 pairs too short.
    expected = 10 * (2 / math.sqrt(10) + 1 / 2) / 4 * math.exp(-9 / 72)
    assert cider_d(["a b", "q"], references) == pytest.approx(expected / 2)


def test_repeated_words_gain_nothing():
    references = [["a b c d e"], ["v w x y z"]]
    once = cider_d(["a b c d e", "v"], references)
    assert cider_d(["a a a a a", "v"], references) < once / 4


def test_cider_is_that_of_its_authors():
    for seed in range(3):
        hypotheses, references = corpus(seed)
        scorer = CiderScorer(n=4, sigma=6.0)
        for hypothesis, targets in zip(hypotheses, references, strict=True):
            scorer += (hypothesis, targets)
        assert cider_d(hypotheses, references) == pytest.approx(float(scorer.compute_score()[0]))


def test_counts_are_clipped_at_those_of_the_reference():
    """ "a a a b" against "a b": words weigh log 2; of the three "a" one counts.

    Words: (1 * 1 + 1 * 1) / (sqrt(9 + 1) * sqrt(2)); pairs: "a a" twice and "a b" once against
    "a b": 1 / sqrt(5); nothing longer; 3 pairs against 1.
    """
    references = [["a b"], ["v w x y z"]]
    expected = 10 * (2 / math.sqrt(20) + 1 / math.sqrt(5)) / 4 * math.exp(-4 / 72)
    assert cider_d(["a a a b", "q"], references) == pytest.approx(expected / 2)


def test_meteor_is_the_mean_over_sentences(monkeypatch):
    """Of sentences and of all references of each; None without WordNet."""
    from nltk.translate import meteor_score

    def fraction(references, hypothesis):
        return max(len(set(words) & set(hypothesis)) for words in references) / len(hypothesis)

    monkeypatch.setattr(meteor_score, "meteor_score", fraction)
    assert meteor(["a b", "c d"], [["a x", "a b"], ["c y"]]) == pytest.approx((1 + 0.5) / 2)

    def without_wordnet(references, hypothesis):
        raise LookupError

    monkeypatch.setattr(meteor_score, "meteor_score", without_wordnet)
    assert meteor(["a"], [["a"]]) is None


def test_bleu_says_that_its_libraries_are_missing(monkeypatch, caplog):
    original = builtins.__import__

    def without(name, *args, **kwargs):
        if name.partition(".")[0] in ("sacrebleu", "nltk"):
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    assert bleu(["a"], [["a"]]) == {}
    assert caplog.messages == ["BLEU is left out: neither sacrebleu nor nltk is installed"]


def test_bleu_by_hand():
    """ "a b c x" against "a b c d": 3 of 4 words, 2 of 3 pairs, 1 of 2 triples, 0 of 1."""
    expected = [0.75, (0.75 * 2 / 3) ** 0.5, (0.75 * 2 / 3 / 2) ** (1 / 3), 0.0]
    for library in (True, False):
        scores = bleu(["a b c x"], [["a b c d"]], use_sacrebleu=library)
        assert [scores[f"bleu{n}"] for n in (1, 2, 3, 4)] == pytest.approx(
            [100 * value for value in expected]
        )
        assert list(scores) == ["bleu1", "bleu2", "bleu3", "bleu4", "signature"]
        assert scores["signature"].startswith("BLEU|")
    assert bleu(["a b c d"], [["a b c d"]])["signature"].startswith("BLEU|nrefs:1|case:mixed|")
    import nltk

    signature = bleu(["a"], [["a"]], use_sacrebleu=False)["signature"]
    assert signature == f"BLEU|nltk:{nltk.__version__}|smooth:none|tok:none"


def test_messages_name_the_numbers_of_sentences_and_references():
    with pytest.raises(ValueError, match="none empty: 1 sentences, 2 sets"):
        bleu(["a"], [["a"], ["b"]])


def test_rouge_takes_the_best_precision_and_recall_of_all_references():
    """ "a b c d" against "a b" (2 of 4, 2 of 2) and "a b c x y z" (3 of 4, 3 of 6)."""
    precision, recall = 3 / 4, 1.0
    expected = 2.44 * precision * recall / (recall + 1.44 * precision)
    assert rouge_l(["a b c d"], [["a b", "a b c x y z"]]) == pytest.approx(expected)
    assert rouge_l(["a b"], [[""]]) == 0
