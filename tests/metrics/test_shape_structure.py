"""Legs counted on grids made by hand."""

from __future__ import annotations

import numpy as np

from triform.metrics.shape_structure import count_legs


def table(*legs: tuple[int, int], height: int = 40) -> np.ndarray:
    """A slab of 2 voxels on legs of 2 x 2 voxels, in the middle of the grid's height."""
    grid = np.zeros((64, 64, 64), dtype=bool)
    grid[8:56, 10 + height - 2 : 10 + height, 8:56] = True
    for x, z in legs:
        grid[x : x + 2, 10 : 10 + height, z : z + 2] = True
    return grid


def test_legs_of_tables():
    corners = [(8, 8), (8, 54), (54, 8), (54, 54)]
    for number in range(1, 5):
        assert count_legs(table(*corners[:number])) == number


def test_legs_that_touch_at_a_corner_are_one():
    assert count_legs(table((20, 20), (22, 22))) == 1
    assert count_legs(table((20, 20), (23, 22))) == 2


def test_shape_with_a_base_stands_on_one():
    grid = np.zeros((32, 32, 32), dtype=bool)
    grid[4:20, 4:24, 4:20] = True
    assert count_legs(grid) == 1


def test_feet_below_the_slices_and_stretchers_above_do_not_count():
    grid = table((8, 8), (54, 54))
    grid[8:56, 10, 8:56] = True  # a plate of 2.5 % of the height
    grid[8:56, 20:22, 8:56] = True  # at 25 %
    assert count_legs(grid) == 2


def test_most_frequent_number_wins():
    grid = table((8, 8), (54, 54))
    # The slices are 12 to 15 of 10 to 49; one of the four holds a third part.
    grid[30:32, 13, 30:32] = True
    assert count_legs(grid) == 2
    grid[30:32, 12:15, 30:32] = True
    assert count_legs(grid) == 3


def test_nothing():
    assert count_legs(np.zeros((8, 8, 8), dtype=bool)) == 0
    one_layer = np.zeros((8, 8, 8), dtype=bool)
    one_layer[1, 3, 1] = one_layer[5, 3, 5] = True
    assert count_legs(one_layer) == 2
