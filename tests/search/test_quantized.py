"""Bounds of the first pass against exact products in float64."""

import numpy as np
import pytest
from unit_vectors import vectors

from triform.search.first_pass import CHUNK
from triform.search.quantized import bound_products, quantize, quantize_queries


def first_pass(x, queries, rows=None):
    codes, scales, errors = np.empty(x.shape, np.int8), *np.empty((2, len(x)), np.float32)
    quantize(x, codes, scales, errors)
    rows = np.arange(len(x), dtype=np.int32) if rows is None else rows.astype(np.int32)
    levels, facts = quantize_queries(queries)
    bounds = np.empty((2, len(queries), len(rows)), np.float32)
    peaks = np.empty((len(queries), -(-len(rows) // CHUNK)), np.float32)
    bound_products(codes, scales, errors, rows, levels, facts, bounds, peaks)
    return bounds, peaks, (codes, scales, errors)


@pytest.mark.parametrize("kind", ["normal", "sparse", "heavy", "one", "equal"])
@pytest.mark.parametrize("dim", [1, 7, 512])
def test_bounds_hold_and_are_narrow(kind, dim):
    random = np.random.default_rng(dim)
    x, queries = vectors(kind, 300, dim, random), vectors("normal", 5, dim, random)
    bounds, peaks, (codes, scales, errors) = first_pass(x, queries)
    exact = queries.astype(np.float64) @ x.astype(np.float64).T
    assert (bounds[0] <= exact).all() and (exact <= bounds[1]).all()
    assert (bounds[1] - bounds[0]).max() < 0.08
    rest = np.linalg.norm(x - scales[:, None].astype(np.float64) * codes, axis=1)
    assert (rest <= errors).all() and (errors <= rest * 1.001 + 1e-7).all()
    for number, each in enumerate(peaks):
        expected = [bounds[0, number, n : n + CHUNK].max() for n in range(0, 300, CHUNK)]
        np.testing.assert_array_equal(each, np.array(expected, np.float32))


def test_sums_of_many_levels_do_not_overflow():
    """The largest sums that can be: all numbers equal, as wide as a gallery holds."""
    x = np.full((2, 16_384), 1 / 128, np.float32)
    x[1] *= -1
    bounds, *_ = first_pass(x, x[:1])
    assert bounds[0, 0, 0] <= 1 <= bounds[1, 0, 0] and bounds[0, 0, 1] <= -1 <= bounds[1, 0, 1]
    assert bounds[1, 0, 0] - bounds[0, 0, 0] < 0.01


def test_rows_are_those_asked_for():
    random = np.random.default_rng(0)
    x, queries = vectors("normal", 200, 16, random), vectors("normal", 2, 16, random)
    rows = np.array([3, 4, 77, 199])
    np.testing.assert_array_equal(
        first_pass(x, queries, rows)[0], first_pass(x, queries)[0][..., rows]
    )
