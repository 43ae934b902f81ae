"""Ids of attributes: fixed for ever, because weights hold them."""

from __future__ import annotations

import hashlib
import json

import pytest

from triform.datasets.testdataset import GROUPS as PARAMETRIC_GROUPS
from triform.tasks.shape_generation.attributes import (
    COUNTS,
    GROUP_OF_KIND,
    SEVERAL,
    VOCABULARY,
    Attributes,
    attribute_ids,
)
from triform.tasks.shape_generation.categories import GROUPS


def ids(**values: object) -> dict[str, int]:
    """Name of each known slot -> id."""
    numbers = attribute_ids(Attributes(**values)).tolist()  # type: ignore[arg-type]
    return {
        slot.name: number for slot, number in zip(VOCABULARY.slots, numbers, strict=True) if number
    }


def test_unknown_is_zero_everywhere() -> None:
    assert attribute_ids(Attributes()).tolist() == [0] * len(VOCABULARY) == [0] * 16


def test_ids_by_hand() -> None:
    assert ids(kind="table", legs=4, form="round", color="red") == {
        "group": 2,
        "kind": 9,
        "legs": 5,  # 0 legs have id 1
        "form": 1,
        "color": 1,
    }
    assert ids(drawers=0) == {"drawers": 1}
    assert ids(drawers=12) == ids(drawers=40) == {"drawers": 13}
    assert ids(drawers=SEVERAL) == {"drawers": 14}
    assert ids(armrests=False) == {"armrests": 1}
    assert ids(back=True) == {"back": 2}


def test_ids_never_change() -> None:
    """A change of this digest breaks every weights file: only ever add values, at the end."""
    text = json.dumps(VOCABULARY.describe(), ensure_ascii=False)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "148ffdaba0bd4ed0"


@pytest.mark.parametrize(
    ("extents", "width", "depth"),
    [
        ((1, 1, 1), 7, 7),  # the middle of 13 buckets
        ((2, 1, 0.5), 9, 5),
        ((1.19, 1, 1.18), 8, 7),  # borders are at 2^(1/4) = 1.189
        ((100, 1, 0.001), 13, 1),
    ],
)
def test_ratios_are_half_octaves(
    extents: tuple[float, float, float], width: int, depth: int
) -> None:
    attributes = Attributes(kind="table").with_extents(extents)
    numbers = dict(
        zip((s.name for s in VOCABULARY.slots), attribute_ids(attributes).tolist(), strict=True)
    )
    assert (numbers["width_to_height"], numbers["depth_to_height"]) == (width, depth)
    assert Attributes().with_extents((1, 0, 1)) == Attributes()  # a flat shape has no ratio


def test_offsets_of_one_table() -> None:
    assert VOCABULARY.offsets[0] == 0
    assert VOCABULARY.offsets[1] == VOCABULARY.sizes[0]
    assert VOCABULARY.total == VOCABULARY.offsets[-1] + VOCABULARY.sizes[-1]


def test_merging_keeps_what_is_known() -> None:
    first, second = Attributes(kind="table", legs=0), Attributes(kind="desk", legs=4, color="red")
    assert first.merged(second) == Attributes(kind="table", legs=0, color="red")


def test_every_group_has_kinds() -> None:
    assert {*GROUPS} < {*GROUP_OF_KIND.values()}
    kinds = {maker.__name__.replace("_", " ") for m in PARAMETRIC_GROUPS.values() for maker in m}
    assert kinds - {"shelf rack"} <= {*GROUP_OF_KIND}
    assert set(COUNTS) < {slot.name for slot in VOCABULARY.slots}
