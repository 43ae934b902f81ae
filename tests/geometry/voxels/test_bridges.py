"""Joining parts of a probability grid."""

import numpy as np
from scipy.ndimage import label

from triform.geometry.voxels.bridges import MIN_COMPONENT_SIZE, bridge_components


def seat_and_foot(leg: float) -> np.ndarray:
    """A seat, a foot below one of its corners, and a faint leg between that makes a detour."""
    grid = np.full((20, 20, 20), 1e-6)
    grid[4:16, 14:16, 4:16] = 0.9
    grid[4:7, 2:4, 4:7] = 0.9
    grid[5, 3:9, 5] = grid[5:12, 8, 5] = grid[11, 8:15, 5] = leg
    return grid


def num_parts(grid: np.ndarray) -> int:
    return int(label(grid > 0.5)[1])


def test_a_faint_leg_is_found_along_its_own_way() -> None:
    grid = seat_and_foot(0.2)
    assert num_parts(grid) == 2
    joined = bridge_components(grid)
    assert num_parts(joined) == 1
    leg = grid == 0.2
    assert (joined[leg] > 0.5).all()
    # nothing but the leg and what touches it has changed
    changed = np.argwhere(joined != grid)
    legs = np.argwhere(leg | (grid > 0.5))
    distances = np.abs(changed[:, None] - legs[None]).sum(2).min(1)
    assert distances.max() <= 1


def test_where_nothing_hints_the_shortest_way_is_taken() -> None:
    joined = bridge_components(seat_and_foot(1e-6))
    assert num_parts(joined) == 1
    # ten empty voxels between foot and seat, and the rim of four around each
    assert (joined == 1).sum() < 10 + 2 + 8


def test_specks_are_not_joined() -> None:
    grid = np.full((16, 16, 16), 0.4)
    grid[:4] = 0.9
    grid[8, 8, 2 : 2 + MIN_COMPONENT_SIZE - 1] = 0.9
    np.testing.assert_array_equal(bridge_components(grid), grid)


def test_one_part_or_none_is_left_as_it_is() -> None:
    random = np.random.default_rng(0)
    faint = random.random((8, 8, 8)) * 0.5
    np.testing.assert_array_equal(bridge_components(faint), faint)
    whole = np.ones((8, 8, 8))
    np.testing.assert_array_equal(bridge_components(whole), whole)


def test_nothing_is_ever_taken_away() -> None:
    random = np.random.default_rng(1)
    for _ in range(5):
        grid = random.random((10, 10, 10)) ** 3
        joined = bridge_components(grid)
        assert (joined >= grid).all() and num_parts(joined) <= num_parts(grid)
