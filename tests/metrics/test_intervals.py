"""The interval of a mean, worked out by hand."""

import math

import pytest
import torch

from triform.metrics.intervals import mean_and_interval


def test_interval_by_hand():
    """1, 2, 3, 4: squares about the mean sum to 5, divided by n - 1 = 3; 1.96 standard errors."""
    mean, half = mean_and_interval(torch.tensor([1, 2, 3, 4]))
    assert mean == 2.5
    assert half == pytest.approx(1.959963984540054 * math.sqrt(5 / 3) / math.sqrt(4), rel=1e-12)
