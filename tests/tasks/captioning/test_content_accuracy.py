"""Content accuracy on small tables, by hand."""

import numpy as np
import pytest

from triform.datasets.captioned.table import ArrayImages, make_table
from triform.tasks.captioning.content_accuracy import content_accuracy


def table(name, contents):
    """A table of two training rows and test rows."""
    count = len(contents)
    return make_table(
        name,
        ArrayImages(np.zeros((count, 4, 4, 3), np.uint8), list(map(str, range(count)))),
        [(content,) for content in contents],
        {"train": np.arange(2), "test": np.arange(2, count)},
        contents=tuple(contents),
    )


def test_furniture_by_its_head_noun_and_among_nouns_of_the_training():
    furniture = table("furniture", ["chair", "lamp", "chair", "chair", "lamp", "guitar"])
    captions = ["office chair", "a table", "lamp with a chair", "lamp"]
    found = content_accuracy(furniture, furniture.rows("test"), captions)
    assert found == {
        "head_noun": (pytest.approx(2 / 4), 4),
        "head_noun_met": (pytest.approx(2 / 3), 3),
    }


def test_emoji_by_their_whole_name():
    emoji = table("emoji", ["red heart", "dog", "red heart", "dog"])
    scores = content_accuracy(emoji, emoji.rows("test"), ["Red heart", "dog face"])
    assert scores == {"exact_name": (0.5, 2)}


def test_a_set_without_contents_has_no_score():
    without = make_table(
        "csv",
        ArrayImages(np.zeros((1, 4, 4, 3), np.uint8), ["1"]),
        [("a",)],
        {"test": np.arange(1)},
    )
    assert content_accuracy(without, without.rows("test"), ["a"]) == {}
