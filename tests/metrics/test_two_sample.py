"""1-NNA by hand and against scikit-learn's leave-one-out nearest neighbour."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.model_selection import LeaveOneOut, cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from triform.metrics.two_sample import one_nearest_neighbor_accuracy


def accuracy(generated: np.ndarray, real: np.ndarray) -> float:
    return one_nearest_neighbor_accuracy(
        cdist(generated, generated), cdist(real, real), cdist(generated, real)
    )


def test_by_hand():
    """On a line: 0 and 1 are generated, 1.4 and 9 real.

    0's nearest is 1 (same), 1's is 1.4 (other), 1.4's is 1 (other), 9's is 1.4 (same).
    """
    assert accuracy(np.array([[0.0], [1]]), np.array([[1.4], [9]])) == 0.5


def test_sets_apart_are_told_apart_and_copies_are_not():
    points = np.random.default_rng(0).normal(size=(20, 3))
    assert accuracy(points, points + 100) == 1.0
    assert accuracy(points, points + 1e-6) == 0.0


def test_ties_count_half():
    assert accuracy(np.array([[0.0], [2]]), np.array([[1.0], [3]])) == pytest.approx(
        np.mean([0.0, 0.0, 0.0, 0.0])
    )
    assert accuracy(np.array([[0.0], [1]]), np.array([[-1.0], [50]])) == pytest.approx(
        # 0 has both at 1; 1's nearest is 0; -1's is 0 of the other kind; 50's is 1 of the other.
        np.mean([0.5, 1.0, 0.0, 0.0])
    )


def test_equals_scikit_learn():
    rng = np.random.default_rng(1)
    generated, real = rng.normal(size=(30, 4)), rng.normal(0.7, 1, size=(25, 4))
    labels = np.repeat([0, 1], [30, 25])
    scores = cross_val_score(
        KNeighborsClassifier(1), np.concatenate([generated, real]), labels, cv=LeaveOneOut()
    )
    assert accuracy(generated, real) == pytest.approx(scores.mean())
