"""Structure of furniture that is built voxel by voxel."""

from __future__ import annotations

import numpy as np
import pytest

from triform.metrics.furniture_structure import count_fronts, count_shelves, top_form

R = 128


def empty() -> np.ndarray:
    return np.zeros((R, R, R), dtype=bool)


def table(width: float, depth: float, exponent: float) -> np.ndarray:
    """A top of half axes in voxels, on four legs."""
    occupancy = empty()
    x, z = np.meshgrid(np.arange(R) - 63.5, np.arange(R) - 63.5, indexing="ij")
    top = (np.abs(x) / width) ** exponent + (np.abs(z) / depth) ** exponent <= 1
    occupancy[:, 60:64] = top[:, None]
    for i in (-1, 1):
        for k in (-1, 1):
            a, b = round(63.5 + i * width * 0.6), round(63.5 + k * depth * 0.6)
            occupancy[a : a + 4, :60, b : b + 4] = True
    return occupancy


@pytest.mark.parametrize(
    ("width", "depth", "exponent", "expected"),
    [
        (60, 60, 2, "round"),
        (60, 40, 2, "oval"),
        (60, 60, 40, "square"),
        (60, 30, 40, "rectangular"),
    ],
)
def test_form_of_the_top(width: float, depth: float, exponent: float, expected: str) -> None:
    assert top_form(table(width, depth, exponent)) == expected


def bookcase(num_shelves: int, *, back: bool, closed: int = 0) -> np.ndarray:
    """Boards of 3 voxels between side walls; the lowest `closed` voxels are a solid case."""
    occupancy = empty()
    occupancy[30:98, 0:3, 40:80] = occupancy[30:98, 117:120, 40:80] = True
    occupancy[30:33, 0:120, 40:80] = occupancy[95:98, 0:120, 40:80] = True
    if back:
        occupancy[30:98, 0:120, 40:42] = True
    occupancy[30:98, 0:closed, 40:74] = True
    for height in np.linspace(closed, 117, num_shelves + 2)[1:-1].round().astype(int):
        occupancy[30:98, height : height + 3, 40:80] = True
    return occupancy


@pytest.mark.parametrize("num_shelves", range(7))
@pytest.mark.parametrize(("back", "closed"), [(True, 0), (False, 0), (True, 40)])
def test_shelves(num_shelves: int, back: bool, closed: int) -> None:
    assert count_shelves(bookcase(num_shelves, back=back, closed=closed)) == num_shelves


def case(doors: int, drawers: int) -> np.ndarray:
    """A box whose front has raised panels: drawers below doors."""
    occupancy = empty()
    occupancy[20:108, 0:120, 30:80] = True
    middle = 9 * drawers
    for k in range(drawers):
        occupancy[22:106, 9 * k + 2 : 9 * k + 8, 80:82] = True
    for k in range(doors):
        left, right = (20 + 88 * (k + share) // doors for share in (0, 1))
        occupancy[left + 2 : right - 2, middle + 2 : 118, 80:82] = True
    return occupancy


@pytest.mark.parametrize("doors", range(5))
@pytest.mark.parametrize("drawers", range(4))
def test_doors_and_drawers(doors: int, drawers: int) -> None:
    assert count_fronts(case(doors, drawers)) == (doors, drawers)


def test_nothing() -> None:
    assert top_form(empty()) == ""
    assert count_shelves(empty()) == 0
    assert count_fronts(empty()) == (0, 0)
