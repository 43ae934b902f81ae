"""Scenes: what is said of them is true, and what is held out is."""

import random

import numpy as np
import pytest

from triform.base.errors import UsageError
from triform.datasets.captioned import scenes
from triform.datasets.captioned.baselines import baseline_captions
from triform.datasets.captioned.grammar import CLOTHES, COLOURS, OPENINGS, PATTERNS, Grammar
from triform.datasets.captioned.load import load_captioned
from triform.datasets.captioned.scoring import scores

SET = "scenes:digits/160"


@pytest.fixture(scope="module")
def table():
    return load_captioned(SET, seed=0)


def test_every_sentence_of_the_grammar_leads_back_to_its_scene():
    """All patterns and openings, all names of all things in all colours at least once."""
    grammar, draw = Grammar(CLOTHES), random.Random(0)
    nouns = [(noun, name) for noun, names in CLOTHES.items() for name in names]
    for opening in OPENINGS:
        for pattern, roles in PATTERNS:
            for number, (noun, name) in enumerate(nouns):
                things = [(noun, name), *draw.choices(nouns, k=2)]
                colours = [list(COLOURS)[number % 6], *draw.choices(list(COLOURS), k=2)]
                said = [f"a {c} {name}" for c, (_, name) in zip(colours, things, strict=True)]
                # {0}, {1}, {2} are the things of the roles in their order
                scene = tuple(
                    sorted((role, colours[k], things[k][0]) for k, role in enumerate(roles))
                )
                assert grammar.parse(opening + pattern.format(*said)) == scene


@pytest.mark.parametrize(
    "sentence",
    ["", "a red", "red dress", "a pink dress", "a red dress above", "a red dress a blue bag",
     "a red dress beside a blue bag", "a red dress above a blue bag above a white coat",
     "a red dress above a blue bag and more"],
)  # fmt: skip
def test_other_sentences_are_no_scene(sentence):
    assert Grammar(CLOTHES).parse(sentence) is None


def test_captions_differ_and_are_true(table):
    grammar = scenes.grammar_of(SET)
    for row in range(len(table)):
        assert len(set(table.captions[row])) == scenes.NUM_CAPTIONS
        assert {grammar.parse(text) for text in table.captions[row]} == {table.contents[row]}


def test_held_out_combinations_are_in_their_split_alone(table):
    for split, rows in table.splits.items():
        held = [any(scenes.is_held_out(*thing) for thing in table.contents[row]) for row in rows]
        assert all(held) if split == "test_held_out" else not any(held)
    assert sum(len(rows) for rows in table.splits.values()) == len(table)


def test_colours_and_places_are_as_said(table):
    """Measured in the pictures themselves: the colour of each quarter, and which are black."""
    corners = {
        "left": {(0, 0), (1, 0)}, "right": {(0, 1), (1, 1)}, "above": {(0, 0), (0, 1)},
        "below": {(1, 0), (1, 1)}, "over": {(0, 0), (0, 1)}, "under": {(1, 0), (1, 1)},
        "alone": {(0, 0), (0, 1), (1, 0), (1, 1)},
    }  # fmt: skip
    for row in range(0, len(table), 7):
        picture = table.pictures.picture(row).astype(float)
        lit = {}
        for cell in corners["alone"]:
            part = picture[32 * cell[0] :, 32 * cell[1] :][:32, :32].reshape(-1, 3)
            if part.max() > 60:
                lit[cell] = part[part.sum(1).argmax()]
        assert len(lit) == len(table.contents[row])
        for role, colour, _ in table.contents[row]:
            wanted = np.array(COLOURS[colour], float)
            near = [
                cell for cell, seen in lit.items()
                if cell in corners[role]
                and seen @ wanted / np.linalg.norm(seen) / np.linalg.norm(wanted) > 0.995
            ]  # fmt: skip
            assert near, (table.contents[row], lit)


def test_same_seed_same_scenes(table):
    again, other = load_captioned(SET, seed=0), load_captioned(SET, seed=1)
    assert again.digest == table.digest != other.digest
    assert np.array_equal(again.pictures.images, table.pictures.images)


def test_scores_and_baselines(table):
    rows = table.rows("test")
    right = [table.captions[row][3] for row in rows]
    parts = ("content_accuracy", "right_places", "right_colours", "right_kinds")
    assert scores(table, rows, right) == dict.fromkeys(parts, 1.0)
    assert scores(table, rows, ["a red"] * len(rows)) == dict.fromkeys(parts, 0.0)
    half = [text if number % 2 else "nothing" for number, text in enumerate(right)]
    assert scores(table, rows, half) == dict.fromkeys(parts, 0.5)
    said = baseline_captions(table, table.rows("train"), table.rows("train")[:9])
    first = [table.captions[row][0] for row in table.rows("train")[:9]]
    assert said["nearest neighbour"] == first  # of itself
    assert len(set(said["majority"])) == 1


@pytest.mark.parametrize("wrong", ["scenes/x", "scenes:digits/3", "scens", "scenes:letters"])
def test_wrong_names_are_one_line(wrong):
    with pytest.raises(UsageError, match="dataset") as caught:
        load_captioned(wrong)
    assert "\n" not in str(caught.value)


def test_unknown_splits_are_named(table):
    with pytest.raises(UsageError, match="test_held_out"):
        table.rows("validation")
