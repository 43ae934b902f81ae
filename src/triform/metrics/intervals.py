"""How sure a mean is."""

from __future__ import annotations

import math

from torch import Tensor

# Two-sided 95 % of the normal distribution.
Z95 = 1.959963984540054


def mean_and_interval(values: Tensor) -> tuple[float, float]:
    """Mean of (N,) independent values and half the width of its 95 % interval (normal)."""
    values = values.double()
    return float(values.mean()), Z95 * float(values.std(unbiased=True)) / math.sqrt(len(values))
