"""Reciprocal rank fusion, by hand."""

import pytest

from triform.search.fusion import WordMatch, fuse_ranks


def test_scores_by_hand():
    scores = fuse_ranks(["a", "b", "c"], {"c": WordMatch(1, 1.0), "d": WordMatch(2, 0.5)}, 0.5)
    assert scores == {
        "a": pytest.approx(1 / 61),
        "b": pytest.approx(1 / 62),
        "c": pytest.approx(1 / 63 + 0.5 / 61),
        "d": pytest.approx(0.5 / 8 / 62),
    }
    assert fuse_ranks([], {}, 1) == {}
