"""Which of the counted parts, forms and colours that a text names a shape has."""

from __future__ import annotations

from jaxtyping import Bool
from numpy import ndarray

from triform.metrics.furniture_structure import count_fronts, count_shelves, top_form
from triform.metrics.shape_structure import count_legs
from triform.tasks.shape_generation.attributes import SEVERAL, Attributes

MEASURED_FORMS = ("round", "oval", "square", "rectangular")


def matching_structure(occupancy: Bool[ndarray, "x y z"], expected: Attributes) -> dict[str, bool]:
    """Whether counted parts and the form of the top are as a text says.

    Args:
        occupancy: (R, R, R), +Y up and the front to +Z; counted best at R = 128.
        expected: what the text says.

    Returns:
        A value for `legs`, `form`, `shelves`, `doors` and `drawers`, as far as they are expected.
    """
    matching: dict[str, bool] = {}
    if expected.legs is not None:
        matching["legs"] = _is_count(count_legs(occupancy), expected.legs)
    if expected.form in MEASURED_FORMS:
        matching["form"] = top_form(occupancy) == expected.form
    if expected.shelves is not None:
        matching["shelves"] = _is_count(count_shelves(occupancy), expected.shelves)
    if expected.doors is not None or expected.drawers is not None:
        for name, count in zip(("doors", "drawers"), count_fronts(occupancy), strict=True):
            number = getattr(expected, name)
            if number is not None:
                matching[name] = _is_count(count, number)
    return matching


def names_structure(expected: Attributes) -> bool:
    """Whether a text says anything that `matching_structure` measures."""
    counts = (expected.legs, expected.shelves, expected.doors, expected.drawers)
    return expected.form in MEASURED_FORMS or any(count is not None for count in counts)


def _is_count(counted: int, expected: int) -> bool:
    return counted > 0 if expected == SEVERAL else counted == expected
