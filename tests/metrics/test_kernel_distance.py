"""The kernel distance against scikit-learn's kernel, and what it must be for equal sets."""

import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import polynomial_kernel

from triform.base.seeding import generator
from triform.metrics.kernel_distance import kernel_distance, squared_mmd


def test_equals_the_unbiased_formula_with_another_kernel():
    random = np.random.default_rng(0)
    a, b = random.normal(size=(30, 8)), random.normal(0.5, 2, size=(20, 8))
    within = [polynomial_kernel(x, degree=3, gamma=1 / 8, coef0=1) for x in (a, b)]
    across = polynomial_kernel(a, b, degree=3, gamma=1 / 8, coef0=1)
    expected = -2 * across.mean()
    for kernel in within:
        np.fill_diagonal(kernel, 0)
        expected += kernel.sum() / (len(kernel) * (len(kernel) - 1))
    actual = squared_mmd(torch.from_numpy(a), torch.from_numpy(b))
    assert float(actual) == pytest.approx(expected, rel=1e-9)


def test_of_one_distribution_is_near_zero_and_of_two_is_not():
    random = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 2000, 16, generator=random)
    same, deviation = kernel_distance(a, b, subset_size=500)
    other, _ = kernel_distance(a, b + 0.5, subset_size=500)
    assert abs(same) < 3 * deviation and other > 10 * abs(same)
    assert kernel_distance(a, b) == kernel_distance(a, b)


def test_too_few_or_unlike_rows_are_refused():
    with pytest.raises(ValueError, match="kernel distance"):
        kernel_distance(torch.zeros(3, 4), torch.zeros(100, 4))
    with pytest.raises(ValueError, match="kernel distance"):
        kernel_distance(torch.zeros(100, 5), torch.zeros(100, 4))


def test_mean_and_deviation_over_fifty_subsets_written_out():
    """Subsets of 1000 rows, or of half of the smaller set; the rows are those of the seed."""
    random = torch.Generator().manual_seed(0)
    a, b = torch.randn(2010, 2, generator=random), 1 + torch.randn(2004, 2, generator=random)
    for some, size, seed in ((a[:2010], 1000, 0), (a[:41], 20, 0), (a[:41], 20, 3)):
        dice = generator("kernel distance", seed)
        values = []
        for _ in range(50):
            rows = [torch.randperm(len(each), generator=dice)[:size] for each in (some, b)]
            values.append(float(squared_mmd(some[rows[0]].double(), b[rows[1]].double())))
        found = kernel_distance(some, b, **({"seed": seed} if seed else {}))
        assert found == (pytest.approx(np.mean(values)), pytest.approx(np.std(values)))
    four = torch.arange(8.0).view(4, 2)
    assert kernel_distance(four, four)[0] != 0  # four rows are enough, of two subsets of two
    with pytest.raises(ValueError, match="kernel distance"):
        kernel_distance(four, four[:3])
