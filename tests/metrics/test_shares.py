"""Intervals of shares and the test of two ways, against hand-worked values and scipy."""

import pytest
from scipy.stats import binomtest

from triform.metrics.intervals import mcnemar_exact, share_interval


def test_wilson_interval_of_known_values():
    assert share_interval(8, 10) == pytest.approx((0.4901625, 0.9433178), abs=1e-6)
    assert share_interval(0, 10) == pytest.approx((0, 0.2775328), abs=1e-6)
    assert share_interval(10, 10) == pytest.approx((0.7224672, 1), abs=1e-6)


@pytest.mark.parametrize(("right", "total"), [(1, 2), (281, 300), (77, 95), (1, 1000)])
def test_wilson_interval_is_scipys(right, total):
    theirs = binomtest(right, total).proportion_ci(0.95, method="wilson")
    assert share_interval(right, total) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


@pytest.mark.parametrize(("right", "total"), [(1, 0), (3, 2), (-1, 2)])
def test_no_share_at_all(right, total):
    with pytest.raises(ValueError, match=f"{right} of {total}"):
        share_interval(right, total)


def test_mcnemar_by_hand():
    first = [True] * 5 + [True] * 1 + [False] * 6 + [False] * 3
    second = [True] * 5 + [False] * 1 + [True] * 6 + [False] * 3
    # 1 against 6 of 7: 2 * (1 + 7) / 2**7
    assert mcnemar_exact(first, second) == (1, 6, 0.125)
    assert mcnemar_exact(second, first) == (6, 1, 0.125)


def test_mcnemar_of_equal_ways_is_one():
    assert mcnemar_exact([True, False], [True, False]) == (0, 0, 1)
    assert mcnemar_exact([True, False], [False, True]) == (1, 1, 1)
    with pytest.raises(ValueError, match="longer"):
        mcnemar_exact([True], [True, False])


@pytest.mark.parametrize(("ours", "theirs"), [(3, 17), (40, 41), (0, 6)])
def test_mcnemar_is_scipys_binomial_test(ours, theirs):
    first = [True] * ours + [False] * theirs
    second = [False] * ours + [True] * theirs
    expected = binomtest(ours, ours + theirs).pvalue
    assert mcnemar_exact(first, second)[2] == pytest.approx(min(1, expected), abs=1e-9)
