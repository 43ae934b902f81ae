"""Several sets as one."""

import numpy as np
import pytest

from triform.base.errors import UsageError
from triform.datasets.captioned.concat import concat_tables
from triform.datasets.captioned.load import load_captioned
from triform.datasets.captioned.table import ArrayImages, CaptionTable, make_table


def one(name: str, count: int, brightness: int, **splits: list[int]) -> CaptionTable:
    images = np.full((count, 4, 4, 3), brightness, np.uint8)
    names = [f"{name} {number}" for number in range(count)]
    rows = {split: np.array(own) for split, own in splits.items()}
    captions = [(f"a {name}", f"the {number}") for number in range(count)]
    return make_table(name, ArrayImages(images, names), captions, rows, licence=f"of {name}")


def test_rows_splits_and_captions_follow_each_other():
    table = concat_tables(
        "a+b", [one("a", 3, 1, train=[0, 2], val=[1]), one("b", 2, 2, train=[1], test=[0])]
    )
    assert len(table) == len(table.images) == 5
    assert {split: rows.tolist() for split, rows in table.splits.items()} == {
        "train": [0, 2, 4],
        "val": [1],
        "test": [3],
    }
    assert [table.images.image(row)[0, 0, 0] for row in range(5)] == [1, 1, 1, 2, 2]
    assert [table.images.name(row) for row in (2, 3)] == ["a 2", "b 0"]
    assert table.captions[4] == ("a b", "the 1")
    assert table.licence == "a: of a; b: of b" and not table.contents
    with pytest.raises(IndexError):
        table.images.image(5)


def test_parts_are_loaded_by_name():
    table = load_captioned("scenes:digits/16+scenes:digits/8")
    assert len(table.rows("train")) == 24 and len(table.rows("test_held_out")) == 3
    with pytest.raises(UsageError, match="nothing"):
        load_captioned("scenes:digits/8+nothing")
