"""First pass of an exact search: bounds of inner products leave the few rows that may be the best.

The first queries of a gallery have bounds from the vectors as they are, in float32; later ones from
8 bits (`quantized.py`), which takes a fraction of the time once they are computed. Both bounds are
proven, so that the exact products of the rows that remain give exactly the answer of comparing all.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

CHUNK = 64
"""Rows whose largest lower bound is kept, so that the k-th largest is found among few."""
SLACK = 1e-6
"""What rounding to float32 can add to a bound: vectors and products are at most about 1."""


def bound_float_products(vectors: Floats, queries: Floats, bounds: Floats, peaks: Floats) -> None:
    """Write lower and upper bounds of the inner products of vectors and queries.

    A sum of n products in float32, in any order, is off by at most n u / (1 - n u) times the
    lengths of both (Higham, *Accuracy and Stability of Numerical Algorithms*, section 3.1), u being
    2^-24.

    Args:
        vectors: (R, D) of length at most 1.
        queries: (Q, D).
        bounds: (2, Q, R), written; lower, then upper bounds.
        peaks: (Q, ceil(R / CHUNK)), written; the largest lower bound of each chunk of rows.
    """
    products = np.empty(bounds.shape[1:], np.float32)
    for query, values in zip(queries, products, strict=True):
        # As fast as BLAS, which would start threads of its own in each of the search's.
        np.einsum("rd,d->r", vectors, query, out=values)
    rounding = vectors.shape[1] * 2.0**-24
    lengths = np.linalg.norm(queries.astype(np.float64), axis=1)
    widths = (lengths * rounding / (1 - rounding) + SLACK).astype(np.float32)[:, None]
    np.subtract(products, widths, out=bounds[0])
    np.add(products, widths, out=bounds[1])
    np.maximum.reduceat(bounds[0], np.arange(0, len(vectors), CHUNK), axis=1, out=peaks)


def candidates(bounds: NDArray[Any], peaks: NDArray[Any], k: int) -> NDArray[np.int64]:
    """Rows that may be among the k with the largest products, ascending.

    Args:
        bounds: (2, R) of one query.
        peaks: (C,) of one query.
        k: How many.
    """
    lower = peaks if len(peaks) > k else bounds[0]
    if len(lower) <= k:
        return np.arange(bounds.shape[1])
    # k rows have lower bounds of at least this, so that nothing below it is among the best k.
    least = np.partition(lower, -k)[-k]
    return np.flatnonzero(bounds[1] >= least)
