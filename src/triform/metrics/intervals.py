"""How sure a mean, a share or a difference of two shares is."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

# Two-sided 95 % of the normal distribution.
Z95 = 1.959963984540054


def mean_and_interval(values: Tensor) -> tuple[float, float]:
    """Mean of (N,) independent values and half the width of its 95 % interval (normal)."""
    values = values.double()
    return float(values.mean()), Z95 * float(values.std(unbiased=True)) / math.sqrt(len(values))


def share_interval(successes: int, total: int) -> tuple[float, float]:
    """95 % interval of a share by Wilson's score, which keeps within [0, 1] near both ends.

    Args:
        successes: how many of `total` are.
        total: independent trials, at least one.

    Raises:
        ValueError: No trials, or more successes than trials.
    """
    if not 0 <= successes <= total or not total:
        raise ValueError(f"{successes} of {total}")
    share, weight = successes / total, Z95**2 / total
    middle = share + weight / 2
    spread = Z95 * math.sqrt(share * (1 - share) / total + weight / (4 * total))
    return (
        max(0.0, (middle - spread) / (1 + weight)),
        min(1.0, (middle + spread) / (1 + weight)),
    )


def mcnemar_exact(first: Sequence[bool], second: Sequence[bool]) -> tuple[int, int, float]:
    """Whether two ways are right about the same things equally often (McNemar's exact test).

    Args:
        first: whether the first way is right, for each of N things.
        second: the same of the second way.

    Returns:
        How many things the first alone and the second alone is right about, and the two-sided
        binomial probability of a split at least as uneven if both were equally good.

    Raises:
        ValueError: Unequal lengths.
    """
    pairs = list(zip(first, second, strict=True))
    ours = sum(bool(a) and not b for a, b in pairs)
    theirs = sum(bool(b) and not a for a, b in pairs)
    total = ours + theirs
    tail = sum(math.comb(total, k) for k in range(min(ours, theirs) + 1))
    return ours, theirs, min(1.0, 2 * tail / 2**total)
