"""Drawn scenes: captions say what is drawn, and held-out combinations are held out."""

import random
from collections import Counter

import numpy as np
import pytest

from triform.base.errors import UsageError
from triform.datasets.captioned.drawings import english, russian
from triform.datasets.captioned.drawings.objects import OBJECTS
from triform.datasets.captioned.drawings.scene import (
    ATTRIBUTES,
    COLORS,
    LAYOUTS,
    SIDE,
    Scene,
    is_held_out,
    parts,
    render,
)
from triform.datasets.captioned.load import load_captioned

SET = "drawings:ru,en/400"


@pytest.fixture(scope="module")
def table():
    return load_captioned(SET, seed=0)


def test_splits_and_sizes(table):
    sizes = {split: len(rows) for split, rows in table.splits.items()}
    others = dict.fromkeys(("val", "val_held_out", "test", "test_held_out"), 50)
    assert sizes == {"train": 400, **others}
    assert len(table) == len(table.contents) == 600
    assert table.attributes == ATTRIBUTES
    assert table.images.image(0).shape == (SIDE, SIDE, 3)


def test_held_out_combinations_are_in_their_splits_alone(table):
    for split, rows in table.splits.items():
        for row in rows:
            held_out = any(is_held_out(*part) for part in parts(table.contents[row]))
            assert held_out == split.endswith("held_out")


def test_a_share_of_all_combinations_is_held_out():
    """15 % of 1,344 drawn by a hash: three standard deviations are 0.03."""
    roles = ("one", "two", "three", "four", "left", "right", "above", "below")
    draws = [
        is_held_out(*each)
        for each in np.array(np.meshgrid(list(COLORS), list(OBJECTS), roles)).reshape(3, -1).T
    ]
    assert len(draws) == 1344 and abs(np.mean(draws) - 0.15) < 0.03


def test_same_seed_same_scenes(table):
    again = load_captioned(SET, seed=0)
    assert again.captions == table.captions and again.contents == table.contents
    assert np.array_equal(again.images.images, table.images.images)
    assert load_captioned(SET, seed=1).captions != table.captions


def test_languages_come_in_their_order_and_say_the_same(table):
    english_only = load_captioned("drawings:en/400", seed=0)
    assert english_only.contents == table.contents
    assert [captions[1:] for captions in table.captions] == [*english_only.captions]
    assert all("а" <= captions[0][0] <= "я" for captions in table.captions)


@pytest.mark.parametrize(
    ("scene", "english_texts", "russian_texts"),
    [
        (
            Scene("one", "orange", "apple", "", "", "plain"),
            {"an orange apple"},
            {"оранжевое яблоко"},
        ),
        (
            Scene("three", "red", "butterfly", "", "", "night"),
            {"three red butterflies at night"},
            {"три красные бабочки ночью"},
        ),
        (
            Scene("two", "blue", "fish", "", "", "plain"),
            {"two blue fish"},
            {"две синие рыбы"},
        ),
        (
            Scene("four", "black", "cup", "", "", "snow"),
            {"four black cups in the snow", "four black mugs in the snow"},
            {
                f"четыре {color} {noun} {place} снегу"
                for color in ("чёрные", "черные")
                for noun in ("чашки", "кружки")
                for place in ("в", "на")
            },
        ),
        (
            Scene("left-right", "red", "star", "blue", "house", "plain"),
            {
                "a red star to the left of a blue house",
                "a red star left of a blue house",
                "a blue house to the right of a red star",
                "a blue house right of a red star",
            },
            {
                "красная звезда слева от синего дома",
                "синий дом справа от красной звезды",
                "слева красная звезда, справа синий дом",
            },
        ),
        (
            Scene("above-below", "purple", "sun", "black", "tree", "beach"),
            {
                f"a purple sun {relation} a black tree on {article} beach"
                for relation in ("above", "over")
                for article in ("a", "the")
            }
            | {
                f"a black tree {relation} a purple sun on {article} beach"
                for relation in ("below", "under")
                for article in ("a", "the")
            },
            {
                f"{text} {place}"
                for ink in ("чёрн", "черн")
                for text in (
                    f"фиолетовое солнце над {ink}ым деревом",
                    f"{ink}ое дерево под фиолетовым солнцем",
                    f"вверху фиолетовое солнце, внизу {ink}ое дерево",
                )
                for place in ("на пляже", "на берегу")
            },
        ),
    ],
)
def test_captions_by_hand(scene, english_texts, russian_texts):
    rng = random.Random(0)
    seen = {english.caption(scene, rng) for _ in range(400)}
    plain = {text.removeprefix("a picture of ").removeprefix("a drawing of ") for text in seen}
    assert plain == english_texts
    assert {russian.caption(scene, rng) for _ in range(400)} == russian_texts


@pytest.mark.parametrize("noun", list(OBJECTS))
def test_every_object_shows_its_colour_where_its_role_says(noun):
    """The red one has more red on the left, the blue one more blue on the right."""
    scene = Scene("left-right", "red", noun, "blue", noun, "plain")
    red, _, blue = render(scene, random.Random(0)).astype(int).transpose(2, 0, 1)
    reddish, bluish = red > blue + 90, blue > red + 90
    half = SIDE // 2
    assert reddish[:, :half].sum() > 4 * max(1, bluish[:, :half].sum())
    assert bluish[:, half:].sum() > 4 * max(1, reddish[:, half:].sum())
    upright = Scene("above-below", "red", noun, "blue", noun, "plain")
    red, _, blue = render(upright, random.Random(0)).astype(int).transpose(2, 0, 1)
    assert (red > blue + 90)[:half].sum() > 4 * max(1, (blue > red + 90)[:half].sum())


def test_layouts_have_their_shares(table):
    counts = Counter(table.contents[row].layout for row in table.rows("train"))
    assert set(counts) == set(LAYOUTS)


@pytest.mark.parametrize("name", ["drawings:xx", "drawings/7", "drawings:en/x", "drawings:en,"])
def test_unknown_sets_are_refused(name):
    with pytest.raises(UsageError, match="is no set of drawings"):
        load_captioned(name)
