"""Scenes: captions match the images, and held-out combinations are held out."""

import random

import numpy as np
import pytest

from triform.datasets.captioned import scenes
from triform.datasets.captioned.grammar import CLOTHES, COLOURS, OPENINGS, PATTERNS, Grammar
from triform.datasets.captioned.load import load_captioned
from triform.tasks.captioning.baselines import baseline_captions
from triform.tasks.captioning.content_accuracy import content_accuracy

SET = "scenes:digits/160"


@pytest.fixture(scope="module")
def table():
    return load_captioned(SET, seed=0)


def test_every_sentence_of_the_grammar_leads_back_to_its_scene():
    """All patterns and openings, all names of all objects in all colours at least once."""
    grammar, draw = Grammar(CLOTHES), random.Random(0)
    nouns = [(noun, name) for noun, names in CLOTHES.items() for name in names]
    for opening in OPENINGS:
        for pattern, roles in PATTERNS:
            for number, (noun, name) in enumerate(nouns):
                objects = [(noun, name), *draw.choices(nouns, k=2)]
                colours = [list(COLOURS)[number % 6], *draw.choices(list(COLOURS), k=2)]
                phrases = [f"a {c} {name}" for c, (_, name) in zip(colours, objects, strict=True)]
                # {0}, {1}, {2} are the objects of the roles in their order
                scene = tuple(
                    sorted((role, colours[k], objects[k][0]) for k, role in enumerate(roles))
                )
                assert grammar.parse(opening + pattern.format(*phrases)) == scene


@pytest.mark.parametrize(
    "sentence",
    [
        "",
        "a red",
        "red dress",
        "a pink dress",
        "a red dress above",
        "a red dress a blue bag",
        "a red dress beside a blue bag",
        "a red dress above a blue bag above a white coat",
        "a red dress above a blue bag and more",
    ],
)
def test_other_sentences_are_no_scene(sentence):
    assert Grammar(CLOTHES).parse(sentence) is None


def test_captions_differ_and_are_true(table):
    grammar = scenes.grammar_of(SET)
    for row in range(len(table)):
        assert len(set(table.captions[row])) == scenes.NUM_CAPTIONS
        assert {grammar.parse(text) for text in table.captions[row]} == {table.contents[row]}


def test_held_out_combinations_are_only_in_their_split(table):
    for split, rows in table.splits.items():
        is_held_out = [
            any(scenes.is_held_out(*part) for part in table.contents[row]) for row in rows
        ]
        assert all(is_held_out) if split == "test_held_out" else not any(is_held_out)
    assert sum(len(rows) for rows in table.splits.values()) == len(table)


def test_colours_and_places_are_those_of_the_contents(table):
    """Measured in the images themselves: the colour of each quarter, and which are black."""
    corners = {
        "left": {(0, 0), (1, 0)},
        "right": {(0, 1), (1, 1)},
        "above": {(0, 0), (0, 1)},
        "below": {(1, 0), (1, 1)},
        "over": {(0, 0), (0, 1)},
        "under": {(1, 0), (1, 1)},
        "alone": {(0, 0), (0, 1), (1, 0), (1, 1)},
    }
    for row in range(0, len(table), 7):
        image = table.images.image(row).astype(float)
        colour_of = {}
        for cell in corners["alone"]:
            part = image[32 * cell[0] :, 32 * cell[1] :][:32, :32].reshape(-1, 3)
            if part.max() > 60:
                colour_of[cell] = part[part.sum(1).argmax()]
        assert len(colour_of) == len(table.contents[row])
        for role, colour, _ in table.contents[row]:
            expected = np.array(COLOURS[colour], float)
            expected /= np.linalg.norm(expected)
            matches = [
                cell
                for cell, measured in colour_of.items()
                if cell in corners[role]
                and measured @ expected / np.linalg.norm(measured) / np.linalg.norm(expected)
                > 0.995
            ]
            assert matches, (table.contents[row], colour_of)


def test_same_seed_same_scenes(table):
    repeated, other = load_captioned(SET, seed=0), load_captioned(SET, seed=1)
    assert repeated.digest == table.digest != other.digest
    assert np.array_equal(repeated.images.images, table.images.images)


def test_content_accuracy_and_the_nearest_neighbour(table):
    rows = table.rows("test")
    right = [table.captions[row][3] for row in rows]
    names = ("content_accuracy", "right_places", "right_colours", "right_kinds")

    def accuracy(captions: list[str]) -> dict[str, tuple[float, int]]:
        return content_accuracy(table, rows, captions)

    assert accuracy(right) == dict.fromkeys(names, (1.0, len(rows)))
    assert accuracy(["a red"] * len(rows)) == dict.fromkeys(names, (0.0, len(rows)))
    half = [text if index % 2 else "nothing" for index, text in enumerate(right)]
    assert accuracy(half) == dict.fromkeys(names, (0.5, len(rows)))
    train = table.rows("train")
    captions = baseline_captions(table, train, train[:9])
    expected = [table.captions[row][0] for row in train[:9]]
    assert captions["nearest neighbour"] == expected  # each is its own
