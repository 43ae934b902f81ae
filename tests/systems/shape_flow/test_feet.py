"""Feet of a table are cut at the height where the shortest ends."""

from __future__ import annotations

import numpy as np

from triform.systems.shape_flow.feet import level_feet, lowest_crossings
from triform.systems.shape_flow.surface import field_to_mesh

R = 24


def box(low: tuple[float, float, float], high: tuple[float, float, float]) -> np.ndarray:
    """Signed distance (maximum norm) to a box, in samples."""
    grid = np.stack(np.meshgrid(*[np.arange(R, dtype=np.float32)] * 3, indexing="ij"))
    sides = [np.maximum(low[a] - grid[a], grid[a] - high[a]) for a in range(3)]
    return np.maximum.reduce(sides)


def table(*bottoms: float) -> np.ndarray:
    """A top at heights 16 to 19, and legs that end at these heights."""
    places = [(4, 4), (18, 18), (4, 18), (18, 4)]
    distance = box((2.5, 16, 2.5), (21.5, 19, 21.5))
    for (x, z), bottom in zip(places, bottoms, strict=False):
        distance = np.minimum(distance, box((x - 1.5, bottom, z - 1.5), (x + 1.5, 17, z + 1.5)))
    return distance


def test_heights_of_columns() -> None:
    heights = lowest_crossings(table(3.25, 4.0))
    np.testing.assert_allclose(heights[4, 4], 3.25, atol=1e-6)
    np.testing.assert_allclose(heights[18, 18], 4.0, atol=1e-6)
    np.testing.assert_allclose(heights[10, 10], 16.0, atol=1e-6)
    assert heights[0, 0] == np.inf
    assert lowest_crossings(-np.ones((1, 2, 1)))[0, 0] == 0


def test_all_feet_end_where_the_shortest_does() -> None:
    distance = table(3.25, 3.5, 4.0, 4.6)
    leveled = level_feet(distance)
    heights = lowest_crossings(leveled)
    for x, z in ((4, 4), (18, 18), (4, 18), (18, 4)):
        np.testing.assert_allclose(heights[x, z], 4.6, atol=1e-5)
    # Nothing else changes.
    np.testing.assert_array_equal(leveled[:, 8:], distance[:, 8:])
    mesh = field_to_mesh(leveled)
    lowest = mesh.vertices[:, 1] < mesh.vertices[:, 1].min() + 0.2 / R
    assert len({(x > 0, z > 0) for x, z in mesh.vertices[lowest][:, [0, 2]]}) == 4


def test_what_hangs_high_is_no_foot() -> None:
    distance = table(3.25, 3.5, 4.0, 7.0)
    heights = lowest_crossings(level_feet(distance))
    np.testing.assert_allclose(heights[4, 4], 4.0, atol=1e-5)
    np.testing.assert_allclose(heights[18, 4], 7.0, atol=1e-5)


def test_one_foot_and_no_shape_stay_as_they_are() -> None:
    for distance in (table(3.25), np.ones((R, R, R), np.float32)):
        assert level_feet(distance) is distance
