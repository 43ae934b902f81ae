import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from triform.metrics.retrieval import (
    chance_metrics,
    mean_reciprocal_rank,
    metrics_of_ranks,
    ranks,
    recall_at,
    retrieval_metrics,
)


def test_by_hand():
    similarity = np.array([[0.9, 0.1, 0.5], [0.8, 0.2, 0.3], [0.1, 0.3, 0.2]])
    found = ranks(similarity, np.array([0, 1, 2]))
    assert found.tolist() == [1, 3, 2]
    assert recall_at(found, 1) == pytest.approx(1 / 3)
    assert recall_at(found, 2) == pytest.approx(2 / 3)
    assert mean_reciprocal_rank(found) == pytest.approx((1 + 1 / 3 + 1 / 2) / 3)
    numbers = retrieval_metrics(similarity, np.array([0, 1, 2]), (1, 3))
    assert numbers["recall@3"] == 1 and numbers["median_rank"] == 2
    names = ["recall@1", "recall@3", "recall@5", "recall@10", "mrr", "median_rank"]
    assert list(metrics_of_ranks(found)) == names


def test_the_best_of_several_right_answers_counts():
    similarity = np.array([[0.1, 0.9, 0.5, 0.7]])
    assert ranks(similarity, np.array([[True, False, False, True]])).tolist() == [2]


def test_ties_count_against_the_model():
    """The same answer to everything finds nothing, wherever the right one stands."""
    similarity = np.zeros((4, 4))
    assert ranks(similarity, np.arange(4)).tolist() == [4, 4, 4, 4]
    assert recall_at(ranks(similarity, np.arange(4)), 3) == 0
    # right answers that tie with each other do not stand before themselves
    assert ranks(np.zeros((1, 3)), np.array([[True, True, False]])).tolist() == [2]


@given(st.integers(1, 30), st.integers(2, 40), st.integers(0, 9999))
def test_agrees_with_sorting(queries, gallery, seed):
    random = np.random.default_rng(seed)
    similarity = random.normal(size=(queries, gallery))
    relevant = random.integers(gallery, size=queries)
    order = np.argsort(-similarity, axis=1)
    expected = [list(row).index(right) + 1 for row, right in zip(order, relevant, strict=True)]
    assert ranks(similarity, relevant).tolist() == expected


def test_agrees_with_scikit_learn():
    random = np.random.default_rng(0)
    similarity, relevant = random.normal(size=(50, 20)), random.integers(20, size=50)
    found = ranks(similarity, relevant)
    for k in (1, 3, 5):
        expected = metrics.top_k_accuracy_score(relevant, similarity, k=k, labels=range(20))
        assert recall_at(found, k) == pytest.approx(expected)
    truth = np.eye(20, dtype=int)[relevant]
    # with one right answer the label-ranking average precision is the reciprocal rank
    expected = metrics.label_ranking_average_precision_score(truth, similarity)
    assert mean_reciprocal_rank(found) == pytest.approx(expected)


def test_floor_is_what_guessing_reaches():
    random = np.random.default_rng(0)
    found = ranks(random.random((40_000, 17)), random.integers(17, size=40_000))
    expected = chance_metrics(17)
    for k in (1, 3, 5, 10):
        # three standard errors of a share of 40,000
        assert recall_at(found, k) == pytest.approx(expected[f"recall@{k}"], abs=0.0075)
    assert mean_reciprocal_rank(found) == pytest.approx(expected["mrr"], abs=0.005)
    assert np.median(found) == expected["median_rank"]


@pytest.mark.parametrize(
    ("similarity", "relevant", "words"),
    [
        (np.zeros((0, 3)), np.zeros(0, int), "shape"),
        (np.zeros(3), np.zeros(3, int), "shape"),
        (np.zeros((2, 3, 3)), np.zeros(2, int), "shape"),
        (np.array([[np.nan, 1.0]]), np.array([0]), "not a number"),
        (np.zeros((2, 2)), np.array([[True, True], [False, False]]), "query 1 has no relevant"),
    ],
)
def test_what_cannot_be_ranked_is_told(similarity, relevant, words):
    with pytest.raises(ValueError, match=words):
        ranks(similarity, relevant)


def test_defaults_and_chance_by_hand():
    """A gallery of four: 1/4 at 1, 3/4 at 3, everything from 4 on; (1 + 1/2 + 1/3 + 1/4) / 4."""
    found = chance_metrics(4)
    assert found == {
        "recall@1": 0.25,
        "recall@3": 0.75,
        "recall@5": 1.0,
        "recall@10": 1.0,
        "mrr": pytest.approx(25 / 48),
        "median_rank": 2.5,
    }
    similarity = np.eye(12)
    names = ["recall@1", "recall@3", "recall@5", "recall@10", "mrr", "median_rank"]
    assert list(retrieval_metrics(similarity, np.arange(12))) == names
    with pytest.raises(ValueError, match=r"of shape \(3,\), expected queries x gallery"):
        ranks(np.zeros(3), np.zeros(3, int))
