"""Nearest-neighbour two-sample test of generated against real samples (1-NNA)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def one_nearest_neighbor_accuracy(
    generated: Float[np.ndarray, "n n"],
    real: Float[np.ndarray, "m m"],
    between: Float[np.ndarray, "n m"],
) -> float:
    """Accuracy of telling generated from real samples by the nearest other sample.

    1/2 is the best: the two sets cannot be told apart. 1 where they are apart; below 1/2 where
    generated samples lie nearer to real ones than these to each other, as copies do. Equal numbers
    of both are assumed to be wanted. Lopez-Paz and Oquab, arXiv:1610.06545; for shapes Yang et al.,
    arXiv:1906.12320, section 5.

    Args:
        generated: (N, N) distances between generated samples.
        real: (M, M) distances between real samples.
        between: (N, M) distances from generated to real samples.

    Returns:
        The share of all N + M samples whose nearest other sample is of their own kind; an equally
        near one of the other kind counts as a half.
    """
    distances = np.block([[generated, between], [between.T, real]]).astype(np.float64)
    np.fill_diagonal(distances, np.inf)
    kinds = np.repeat([False, True], [len(generated), len(real)])
    same = np.where(kinds[:, None] == kinds[None, :], distances, np.inf).min(axis=1)
    other = np.where(kinds[:, None] != kinds[None, :], distances, np.inf).min(axis=1)
    return float(np.where(same < other, 1.0, np.where(same == other, 0.5, 0.0)).mean())
