"""Bounds from float32 products against exact ones in float64, and what they leave."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit_vectors import vectors

from triform.search.first_pass import CHUNK, bound_float_products, candidates
from triform.search.quantized import bound_products, quantize, quantize_queries


def float_pass(x, queries):
    bounds = np.empty((2, len(queries), len(x)), np.float32)
    peaks = np.empty((len(queries), -(-len(x) // CHUNK)), np.float32)
    bound_float_products(x, queries, bounds, peaks)
    return bounds, peaks


def bits_pass(x, queries):
    codes, scales, errors = np.empty(x.shape, np.int8), *np.empty((2, len(x)), np.float32)
    quantize(x, codes, scales, errors)
    bounds = np.empty((2, len(queries), len(x)), np.float32)
    peaks = np.empty((len(queries), -(-len(x) // CHUNK)), np.float32)
    rows = np.arange(len(x), dtype=np.int32)
    bound_products(codes, scales, errors, rows, *quantize_queries(queries), bounds, peaks)
    return bounds, peaks


@pytest.mark.parametrize("kind", ["normal", "sparse", "heavy", "one", "equal"])
@pytest.mark.parametrize("dim", [1, 7, 512, 16_384])
def test_bounds_hold_and_are_narrow(kind, dim):
    random = np.random.default_rng(dim)
    count = 300 if dim < 1000 else 70
    x, queries = vectors(kind, count, dim, random), vectors("normal", 5, dim, random)
    bounds, peaks = float_pass(x, queries)
    exact = queries.astype(np.float64) @ x.astype(np.float64).T
    assert (bounds[0] <= exact).all() and (exact <= bounds[1]).all()
    # By hand: 512 x 2^-24 = 3.05e-5 on each side, and the slack.
    assert (bounds[1] - bounds[0]).max() < 2 * (dim * 5.97e-8 + 2e-6)
    for number, each in enumerate(peaks):
        expected = [bounds[0, number, n : n + CHUNK].max() for n in range(0, count, CHUNK)]
        np.testing.assert_array_equal(each, np.array(expected, np.float32))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 400),
    st.integers(1, 30),
    st.sampled_from(["normal", "heavy", "one"]),
    st.sampled_from([float_pass, bits_pass]),
)
def test_the_best_are_candidates(seed, count, k, kind, pass_of):
    """Also where thousands are nearly or exactly equal."""
    random = np.random.default_rng(seed)
    x, queries = vectors(kind, count, 8, random), vectors("normal", 1, 8, random)
    bounds, peaks = pass_of(x, queries)
    exact = (x.astype(np.float64) @ queries[0].astype(np.float64)).round(12)
    least = np.sort(exact)[-min(k, count)]
    found = candidates(bounds[:, 0], peaks[0], k)
    assert set(np.flatnonzero(exact >= least)) <= set(found.tolist())
    assert (np.diff(found) > 0).all()
