"""Counted parts and forms, by hand."""

from __future__ import annotations

import numpy as np

from triform.tasks.shape_generation.attributes import SEVERAL, Attributes
from triform.tasks.shape_generation.structure import matching_structure, names_structure

R = 128


def bookcase(num_shelves: int) -> np.ndarray:
    """Walls, top and bottom, and boards between."""
    solid = np.zeros((R, R, R), bool)
    solid[20:24, :120, 40:80] = solid[104:108, :120, 40:80] = True
    for y in np.linspace(0, 116, num_shelves + 2).round().astype(int):
        solid[20:108, y : y + 4, 40:80] = True
    solid[20:108, :120, 40:43] = True
    return solid


def test_only_what_is_expected_is_answered() -> None:
    assert matching_structure(bookcase(3), Attributes(kind="bookcase", color="red")) == {}
    assert matching_structure(bookcase(3), Attributes(shelves=3)) == {"shelves": True}
    assert matching_structure(bookcase(3), Attributes(shelves=4)) == {"shelves": False}


def test_an_unknown_number_needs_one_at_least() -> None:
    assert matching_structure(bookcase(2), Attributes(shelves=SEVERAL)) == {"shelves": True}
    assert matching_structure(bookcase(0), Attributes(shelves=SEVERAL)) == {"shelves": False}


def test_forms_that_cannot_be_measured_are_left_out() -> None:
    top = np.zeros((R, R, R), bool)
    top[10:110, 60:64, 10:110] = True
    assert matching_structure(top, Attributes(form="square")) == {"form": True}
    assert matching_structure(top, Attributes(form="round", legs=2)) == {
        "legs": False,
        "form": False,
    }
    assert matching_structure(top, Attributes(form="l-shaped")) == {}


def test_doors_and_drawers_are_counted_apart() -> None:
    """Two doors above one drawer, with grooves between them."""
    case = np.zeros((R, R, R), bool)
    case[20:108, :120, 20:80] = True
    front = np.zeros((R, R), bool)
    front[22:63, 34:118] = front[66:106, 34:118] = front[22:106, 2:30] = True
    case[..., 80:83] = front[..., None]
    assert matching_structure(case, Attributes(doors=2, drawers=1)) == {
        "doors": True,
        "drawers": True,
    }
    assert matching_structure(case, Attributes(doors=3)) == {"doors": False}
    assert matching_structure(case, Attributes(drawers=0)) == {"drawers": False}


def test_what_names_something_that_is_measured() -> None:
    named = [
        *(Attributes(legs=4), Attributes(shelves=SEVERAL), Attributes(doors=0)),
        *(Attributes(drawers=2), Attributes(form="oval")),
    ]
    assert all(names_structure(attributes) for attributes in named)
    others = [Attributes(), Attributes(kind="sofa", color="red"), Attributes(form="l-shaped")]
    assert not any(names_structure(attributes) for attributes in others)
