"""95 % intervals of means and shares, and McNemar's test of two shares."""

import math
from collections.abc import Sequence

from torch import Tensor

Z95 = 1.959963984540054
"""Two-sided 95 % quantile of the normal distribution."""


def mean_and_interval(values: Tensor) -> tuple[float, float]:
    """Mean of (N,) independent values and half the width of its 95 % interval (normal)."""
    values = values.double()
    return float(values.mean()), Z95 * float(values.std(unbiased=True)) / math.sqrt(len(values))


def share_interval(successes: int, total: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a share, which stays within [0, 1].

    Args:
        successes: Number of successes.
        total: Number of independent trials, at least one.

    Raises:
        ValueError: No trials, or more successes than trials.
    """
    if not 0 <= successes <= total or not total:
        raise ValueError(f"{successes} of {total}")
    share, weight = successes / total, Z95**2 / total
    middle = share + weight / 2
    spread = Z95 * math.sqrt(share * (1 - share) / total + weight / (4 * total))
    return (max(0.0, (middle - spread) / (1 + weight)), min(1.0, (middle + spread) / (1 + weight)))


def mcnemar_exact(first: Sequence[bool], second: Sequence[bool]) -> tuple[int, int, float]:
    """McNemar's exact test of two classifiers on the same samples.

    Args:
        first: Whether the first classifier is right, for each of N samples.
        second: The same of the second classifier.

    Returns:
        Number of samples that only the first and only the second is right about, and the
        two-sided p-value: the binomial probability of a split at least as uneven if both were
        equally good.

    Raises:
        ValueError: Unequal lengths.
    """
    pairs = list(zip(first, second, strict=True))
    only_first = sum(bool(a) and not b for a, b in pairs)
    only_second = sum(bool(b) and not a for a, b in pairs)
    total = only_first + only_second
    tail = sum(math.comb(total, k) for k in range(min(only_first, only_second) + 1))
    return only_first, only_second, min(1.0, 2 * tail / 2**total)
