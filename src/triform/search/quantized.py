"""Bounds of inner products from vectors in 8 bits, a quarter of what has to be read.

A vector x of length at most 1 is stored as s c + e: a scale s, integers c in [-127, 127] and the
length of the error e, which is computed, not estimated. A query is likewise t d + f, with d in up
to 16 bits. By Cauchy-Schwarz

    | x . q - s t (c . d) |  <=  |e| |q| + |s c| |f|,

and c . d is computed without rounding. What is beyond these bounds cannot be among the best, so
that the exact products of the few that remain give exactly the answer of comparing all.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from triform.base.compiled import njit
from triform.search.first_pass import CHUNK, SLACK

LEVELS = 127
_MAX_SUM = (2**31 - 1) // LEVELS
_MAX_LEVEL = 2**15 - 1

Quantized = NDArray[np.int8]
Floats = NDArray[np.float32]


@njit(cache=True, nogil=True)
def quantize(vectors: Floats, quantized: Quantized, scales: Floats, errors: Floats) -> None:
    """Write the quantized vectors, scales and lengths of the errors of vectors.

    Args:
        vectors: (N, D), finite.
        quantized: (N, D), written.
        scales: (N,), written; value of one level.
        errors: (N,), written; at least the length of vector - scale * code.
    """
    for i in range(vectors.shape[0]):
        largest = np.float32(0)
        for j in range(vectors.shape[1]):
            largest = max(largest, abs(vectors[i, j]))
        scale = np.float32(largest / LEVELS)
        scales[i] = scale
        error = 0.0
        for j in range(vectors.shape[1]):
            level = 0.0
            if scale > 0:
                level = np.rint(np.float64(vectors[i, j]) / np.float64(scale))
                level = min(max(level, -LEVELS), LEVELS)
            quantized[i, j] = np.int8(level)
            rest = np.float64(vectors[i, j]) - np.float64(scale) * level
            error += rest * rest
        errors[i] = np.float32(np.sqrt(error) * (1 + 1e-6))


def quantize_queries(queries: Floats) -> tuple[NDArray[np.int16], NDArray[np.float64]]:
    """Queries (Q, D) as integers, and (Q, 3): value of one level, length, length of the error.

    The levels are as fine as the sums of `bound_products` have room for.
    """
    exact = queries.astype(np.float64)
    largest = np.abs(exact).max(axis=1)
    sums = np.abs(exact).sum(axis=1)
    # Rounding adds at most half a level to each number.
    room = np.minimum(_MAX_LEVEL / largest, (_MAX_SUM - queries.shape[1]) / sums)
    levels = np.rint(exact * room[:, None])
    errors = np.linalg.norm(exact - levels / room[:, None], axis=1)
    query_stats = np.stack([1 / room, np.linalg.norm(exact, axis=1), errors], axis=1)
    return levels.astype(np.int16), query_stats


@njit(cache=True, nogil=True)
def bound_products(
    quantized: Quantized,
    scales: Floats,
    errors: Floats,
    rows: NDArray[np.int32],
    queries: NDArray[np.int16],
    query_stats: NDArray[np.float64],
    bounds: Floats,
    peaks: Floats,
) -> None:
    """Write lower and upper bounds of the inner products of rows and queries.

    Args:
        quantized: (N, D) of `quantize`, as the scales (N,) and errors (N,).
        scales: Value of one level.
        errors: Lengths of the errors.
        rows: (R,) rows to look at.
        queries: (Q, D) of `quantize_queries`.
        query_stats: (Q, 3) of `quantize_queries`.
        bounds: (2, Q, R), written; lower, then upper bounds.
        peaks: (Q, ceil(R / CHUNK)), written; the largest lower bound of each chunk of rows.
    """
    peaks[:] = -np.inf
    for i in range(len(rows)):
        row = rows[i]
        for number in range(len(queries)):
            total = np.int32(0)
            for j in range(quantized.shape[1]):
                total = np.int32(
                    total + np.int32(np.int32(quantized[row, j]) * np.int32(queries[number, j]))
                )
            middle = np.float64(total) * scales[row] * query_stats[number, 0]
            width = (
                errors[row] * query_stats[number, 1]
                + (1 + errors[row]) * query_stats[number, 2]
                + SLACK
            )
            bounds[0, number, i] = middle - width
            bounds[1, number, i] = middle + width
            peak = max(peaks[number, i // CHUNK], bounds[0, number, i])
            peaks[number, i // CHUNK] = peak
