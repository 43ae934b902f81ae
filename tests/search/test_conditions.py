"""Conditions in SQL against the same in Python, over records of every kind."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triform.base.errors import UserError
from triform.search.conditions import Range, StartsWith, read_conditions
from triform.search.exact import ExactGallery

VALUES = [
    None,
    True,
    False,
    -1,
    0,
    2,
    2.5,
    1e9,
    "",
    "2",
    "a",
    "ab",
    "a%",
    "a_b",
    "Ab",
    "é",
    [1],
    {},
]
GALLERY = ExactGallery(encoder="toy")
GALLERY.add(
    [str(n) for n in range(len(VALUES) + 1)],
    np.ones((len(VALUES) + 1, 2)),
    [{}, *({"x": value} for value in VALUES)],
    encoder="toy",
)


def inside(value, condition):
    if isinstance(condition, StartsWith):
        return isinstance(value, str) and value.startswith(condition.text)
    ends = [end for end in (condition.start, condition.stop) if end is not None]
    kind = str if isinstance(ends[0], str) else (int, float)
    if not isinstance(value, kind) or isinstance(value, bool):
        return False
    after = condition.start is None or value >= condition.start
    return after and (condition.stop is None or value < condition.stop)


NUMBERS = st.one_of(st.none(), st.sampled_from([-2, 0, 1, 2, 2.5, 3, 1e10]))
TEXTS = st.one_of(st.none(), st.sampled_from(["", "2", "a", "a%", "ab", "b", "é"]))
RANGES = st.one_of(st.builds(Range, NUMBERS, NUMBERS), st.builds(Range, TEXTS, TEXTS))


@settings(max_examples=100, deadline=None)
@given(
    st.one_of(
        RANGES.filter(lambda r: r != Range()),
        st.builds(StartsWith, st.sampled_from(["", "a", "a%", "a_", "%", "é", "2"])),
    )
)
def test_sql_says_what_python_says(condition):
    expected = [str(n) for n, value in enumerate(VALUES, start=1) if inside(value, condition)]
    assert list(GALLERY.records({"x": condition})) == expected


def test_what_is_no_condition_is_one_line():
    for where in ({"": 1}, {'a"': 1}, {"a": []}, {"a": None}, {"a": Range()}, {"a": Range(1, "b")}):
        with pytest.raises(UserError, match=r"^here: ") as caught:
            read_conditions(where, "here")
        assert "\n" not in str(caught.value)
    assert read_conditions(None, "here") == {}
    assert read_conditions({"a": 1, "b": ("x", "y")}, "here") == {"a": [1], "b": ["x", "y"]}
