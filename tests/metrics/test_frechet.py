"""The Fréchet distance against scipy's matrix root and a closed form."""

import numpy as np
import pytest
import scipy.linalg
import torch

from triform.metrics.frechet import frechet_distance


def test_equals_the_formula_with_scipys_matrix_root():
    random = np.random.default_rng(0)
    a = random.normal(size=(300, 6)) @ random.normal(size=(6, 6))
    b = random.normal(1, 2, size=(200, 6)) @ random.normal(size=(6, 6))
    first, second = np.cov(a.T), np.cov(b.T)
    root = scipy.linalg.sqrtm(first @ second).real
    expected = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(first + second - 2 * root)
    actual = frechet_distance(torch.from_numpy(a), torch.from_numpy(b))
    assert actual == pytest.approx(expected, rel=1e-6)


def test_moved_and_same_points():
    points = torch.randn(500, 4, generator=torch.Generator().manual_seed(0))
    assert frechet_distance(points, points) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(points, points + 2) == pytest.approx(16, rel=1e-5)


def test_too_few_rows_are_refused():
    with pytest.raises(ValueError, match="too few"):
        frechet_distance(torch.zeros(7, 4), torch.zeros(100, 4))
