"""What counts as right, on tables whose answer is known."""

import numpy as np
import pytest

from triform.datasets.captioned.scoring import scores
from triform.datasets.captioned.table import DrawnPictures, make_table


def table(name, contents):
    """Two rows to learn from, the others for the test."""
    count = len(contents)
    return make_table(
        name, DrawnPictures(np.zeros((count, 4, 4, 3), np.uint8), list(map(str, range(count)))),
        [(content,) for content in contents],
        {"train": np.arange(2), "test": np.arange(2, count)}, contents=tuple(contents),
    )  # fmt: skip


def test_furniture_by_its_head_noun_and_among_those_that_were_met():
    furniture = table("furniture", ["chair", "lamp", "chair", "chair", "lamp", "guitar"])
    said = ["office chair", "a table", "lamp with a chair", "lamp"]
    found = scores(furniture, furniture.rows("test"), said)
    assert found == {"head_noun": pytest.approx(2 / 4), "head_noun_met": pytest.approx(2 / 3)}


def test_emoji_by_their_whole_name():
    emoji = table("emoji", ["red heart", "dog", "red heart", "dog"])
    assert scores(emoji, emoji.rows("test"), ["Red heart", "dog face"]) == {"exact_name": 0.5}


def test_what_nobody_knows_has_no_score():
    without = make_table(
        "csv", DrawnPictures(np.zeros((1, 4, 4, 3), np.uint8), ["1"]), [("a",)],
        {"test": np.arange(1)},
    )  # fmt: skip
    assert scores(without, without.rows("test"), ["a"]) == {}
