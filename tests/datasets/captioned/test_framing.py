"""A thing on white is brought to the middle."""

import numpy as np
import pytest

from triform.datasets.captioned.framing import MARGIN, framed


@pytest.mark.parametrize(("top", "left"), [(0, 0), (30, 5), (40, 60)])
def test_wherever_it_stands_it_is_shown_alike(top, left):
    picture = np.full((80, 100, 3), 255, np.uint8)
    picture[top : top + 20, left : left + 40] = (200, 30, 30)
    square = framed(picture)
    side = round(40 * (1 + 2 * MARGIN))
    assert square.shape == (side, side, 3)
    rows, columns = np.nonzero((square < 250).any(2))
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (20, 40)
    assert abs(rows.min() + rows.max() + 1 - side) <= 1
    assert abs(columns.min() + columns.max() + 1 - side) <= 1


def test_without_white_edges_it_only_becomes_square():
    photo = np.random.default_rng(0).integers(0, 200, (30, 20, 3), dtype=np.uint8)
    square = framed(photo)
    start = (len(square) - 20) // 2
    assert square.shape[0] == square.shape[1] == round(30 * (1 + 2 * MARGIN))
    assert np.array_equal(square[(len(square) - 30) // 2 :][:30, start : start + 20], photo)


def test_white_alone_stays_white():
    assert bool((framed(np.full((10, 20, 3), 255, np.uint8)) == 255).all())
