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


def slab(x: slice, y: slice, z: slice, into: np.ndarray | None = None) -> np.ndarray:
    occupancy = empty() if into is None else into
    occupancy[x, y, z] = True
    return occupancy


@pytest.mark.parametrize(("area", "expected"), [(90, "rectangular"), (89, "square")])
def test_the_top_has_nine_tenths_of_the_largest_slice(area: int, expected: str) -> None:
    occupancy = slab(slice(0, 10), slice(5, 6), slice(0, 10))
    slab(slice(0, 15), slice(6, 7), slice(0, 6), into=occupancy)
    occupancy[0, 6, 0] = area == 90
    assert top_form(occupancy) == expected


@pytest.mark.parametrize(("area", "expected"), [(87, "square"), (86, "round")])
def test_round_is_less_than_87_hundredths_of_its_rectangle(area: int, expected: str) -> None:
    occupancy = slab(slice(3, 13), slice(5, 6), slice(40, 50))
    occupancy[5:8, 5, 42:46] = occupancy[9, 5, 42] = False
    occupancy[9, 5, 43] = area == 87
    assert occupancy.sum() == area
    assert top_form(occupancy) == expected


@pytest.mark.parametrize(("depth", "expected"), [(17, "rectangular"), (18, "square")])
@pytest.mark.parametrize("is_turned", [False, True])
def test_equal_sides_differ_by_less_than_15_hundredths(
    depth: int, expected: str, is_turned: bool
) -> None:
    x, z = slice(7, 27), slice(30, 30 + depth)
    occupancy = slab(z if is_turned else x, slice(5, 6), x if is_turned else z)
    assert top_form(occupancy) == expected


@pytest.mark.parametrize(("filled", "expected"), [(228, 0), (229, 1)])
def test_a_board_fills_more_than_three_fifths_of_the_inside(filled: int, expected: int) -> None:
    """A box of 50 x 60 x 40: inside are 38 of 50 columns and the ten rows before the middle."""
    occupancy = slab(slice(40, 90), slice(10, 12), slice(20, 60))
    slab(slice(40, 90), slice(68, 70), slice(20, 60), into=occupancy)
    slab(slice(40, 46), slice(10, 70), slice(20, 60), into=occupancy)  # the side wall
    slab(slice(84, 90), slice(10, 70), slice(20, 60), into=occupancy)
    inside = occupancy[46:84, 30, 40:50]
    inside.ravel()[:] = False
    board = np.zeros(380, dtype=bool)
    board[:filled] = True
    inside[...] = board.reshape(38, 10)
    occupancy[40:90, 30, 20:40] = occupancy[40:90, 30, 50:60] = True
    assert count_shelves(occupancy) == expected


def front(*panels: tuple[slice, slice], depth: int = 2) -> np.ndarray:
    """A case of 100 x 100 whose panels (x, y) stand out by voxels."""
    occupancy = slab(slice(10, 110), slice(0, 100), slice(20, 60))
    for x, y in panels:
        occupancy[x, y, 60 : 60 + depth] = True
    return occupancy


@pytest.mark.parametrize(("height", "expected"), [(10, (0, 1)), (9, (0, 0))])
def test_a_front_has_more_than_a_hundredth_of_the_face(
    height: int, expected: tuple[int, int]
) -> None:
    """12 x 10 voxels are 1.2 % of 100 x 100."""
    panel = (slice(20, 32), slice(5, 5 + height))
    assert count_fronts(front(panel)) == expected


@pytest.mark.parametrize(("width", "expected"), [(19, (1, 0)), (20, (0, 1)), (21, (0, 1))])
def test_doors_are_higher_than_wide(width: int, expected: tuple[int, int]) -> None:
    assert count_fronts(front((slice(30, 30 + width), slice(40, 60)))) == expected


@pytest.mark.parametrize(("width", "expected"), [(8, (0, 1)), (7, (0, 0))])
def test_a_panel_fills_three_fifths_of_its_rectangle(width: int, expected: tuple[int, int]) -> None:
    """An L of 24 x 8 and 8 x 12 voxels fills 288 of 24 x 20: three fifths."""
    low, high = (slice(30, 54), slice(40, 48)), (slice(30, 30 + width), slice(48, 60))
    assert count_fronts(front(low, high)) == expected


@pytest.mark.parametrize("num_doors", range(4))
@pytest.mark.parametrize("thickness", [3, 5])
def test_edges_of_walls_and_boards_are_no_fronts(num_doors: int, thickness: int) -> None:
    """Doors that stand on the base of a bookcase, as far in front as the edges around them."""
    occupancy = empty()
    t = thickness
    x0, x1 = 20, 108
    for x in (x0, x1 - t):
        slab(slice(x, x + t), slice(0, 120), slice(40, 80), into=occupancy)
    for y in (0, 40, 66, 92, 120 - t):
        slab(slice(x0, x1), slice(y, y + t), slice(40, 80), into=occupancy)
    slab(slice(x0, x1), slice(0, 40), slice(40, 76), into=occupancy)  # the closed case
    for k in range(num_doors):
        left, right = (x0 + t + (x1 - x0 - 2 * t) * (k + share) // num_doors for share in (0, 1))
        # Doors of one leaf are wide: two thirds of them are cut off, to be higher than wide.
        right = min(right, left + 28)
        slab(slice(left + 2, right - 1), slice(t, 38), slice(76, 80), into=occupancy)
    assert count_fronts(occupancy) == (num_doors, 0)


@pytest.mark.parametrize(("width", "expected"), [(6, (1, 0)), (5, (0, 0))])
def test_panels_are_as_wide_as_three_voxels_of_64(width: int, expected: tuple[int, int]) -> None:
    assert count_fronts(front((slice(30, 30 + width), slice(20, 60)))) == expected


@pytest.mark.parametrize(("depth", "expected"), [(9, (0, 1)), (10, (0, 0))])
def test_the_face_lies_close_behind_the_panels(depth: int, expected: tuple[int, int]) -> None:
    """Five voxels of 1/64 are ten here; what is as far behind is open space."""
    panels = [(slice(20, 100), slice(20, 60))]
    assert count_fronts(front(*panels, depth=depth)) == expected


def test_fronts_of_a_small_case() -> None:
    """The face is measured against its own size, not against the grid's."""
    occupancy = slab(slice(50, 74), slice(0, 40), slice(30, 60))
    for bottom in (2, 12, 22):
        slab(slice(52, 72), slice(bottom, bottom + 6), slice(60, 62), into=occupancy)
    assert count_fronts(occupancy) == (0, 3)
