"""Names that are safe in file names and stay the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triform.datasets.library.ids import MAX_ID_BYTES, assign_ids, safe_id


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("sweethome3d/Scopia#bed1", "sweethome3d-Scopia-bed1"),
        ("мебель/стул 1.new", "мебель-стул-1-new"),
        ("a_b/../../etc", "a_b-etc"),
        ("///", "object"),
        ("a.colors", "a-colors"),
    ],
)
def test_names(source: str, name: str) -> None:
    assert safe_id(source) == name


@given(st.lists(st.text(), unique=True))
def test_every_object_has_a_name_of_its_own(sources: list[str]) -> None:
    names = assign_ids(sources, {})
    assert list(names) == sources
    assert len({name.casefold() for name in names.values()}) == len(sources)
    for name in names.values():
        assert name and len(name.encode()) <= MAX_ID_BYTES
        assert not set(name) & set('/\\.:*?"<>| \0')
    assert assign_ids(sources, {}) == names


def test_objects_of_the_library_keep_their_names() -> None:
    before = assign_ids(["x/B"], {})
    after = assign_ids(["x/b", "x#b", "x/B"], before)
    assert before == {"x/B": "x-B"}
    assert after["x/B"] == "x-B"
    assert len({name.casefold() for name in after.values()}) == 3


def test_long_names_are_cut_and_stay_different() -> None:
    names = assign_ids(["ж" * 300 + end for end in "ab"], {})
    assert len(set(names.values())) == 2
    assert all(100 <= len(name.encode()) <= MAX_ID_BYTES for name in names.values())
