"""Scenes of one to three tinted things, drawn from real pictures, with exact captions.

Things are pieces of clothing (Fashion-MNIST, all ten kinds) or handwritten digits, in a grid of two
by two on black, each shifted a little. 35 % of the scenes have one thing, 40 % two, 25 % three.
Training scenes are made of training pictures, test scenes of test pictures. 15 % of all
combinations of kind, colour and role never occur in training: "test" holds the combinations that
do, every scene of "test_held_out" has at least one that does not.
"""

from __future__ import annotations

import random
import zlib

import numpy as np

from triform.base.errors import UsageError
from triform.base.seeding import hash_seed
from triform.datasets.captioned.grammar import CLOTHES, COLOURS, NUMERALS, Grammar, Scene
from triform.datasets.captioned.table import CaptionTable, DrawnPictures, make_table
from triform.datasets.pictures.load import load_pictures
from triform.datasets.pictures.table import PictureTable

CANVAS, CELL, SIDE = 64, 32, 28
NUM_CAPTIONS = 5
SHARES = {1: 0.35, 2: 0.4, 3: 0.25}
HELD_OUT = 0.15
SIZES = {"train": 8000, "val": 1000, "test": 1000, "test_held_out": 1000}
SETS = {"scenes": ("fashion-mnist", CLOTHES), "scenes:digits": ("digits", NUMERALS)}


def grammar_of(name: str) -> Grammar:
    """The grammar of a set of scenes, by the name of the set."""
    return Grammar(SETS[name.partition("/")[0]][1])


def load_scenes(source: str, *, seed: int, download_path: str) -> CaptionTable:
    """Makes a set of scenes.

    Args:
        source: "scenes" or "scenes:digits"; "/400" behind it makes 400 training scenes and an
            eighth of that of each other split, instead of 8,000 and 1,000.
        seed: same seed, same scenes.
        download_path: folder of the data sets.

    Raises:
        UsageError: no such set, or an impossible number of scenes.
        UserError: the pictures cannot be brought.
    """
    name, _, number = source.partition("/")
    if name not in SETS or (number and not (number.isdigit() and 8 <= int(number) <= 100_000)):
        raise UsageError(
            f"dataset: {source!r} is no set of scenes; scenes, scenes:digits, or one of them with "
            "a number of 8 to 100000, as scenes/400"
        )
    pictures, nouns = SETS[name]
    table = load_pictures(pictures, size=SIDE, channels=1, download_path=download_path)
    grammar = Grammar(nouns)
    sizes = SIZES
    if number:
        sizes = {key: int(number) // (1 if key == "train" else 8) for key in SIZES}
    by_split = _things(table, list(nouns))
    images, captions, splits = [], [], {}
    scenes: list[Scene] = []
    for split, count in sizes.items():
        draw = random.Random(hash_seed("scenes", source, split, seed))
        things = by_split["train" if split in ("train", "val") else "test"]
        splits[split] = np.arange(len(scenes), len(scenes) + count)
        for _ in range(count):
            scene = _draw_scene(draw, list(nouns), held_out=split == "test_held_out")
            scenes.append(scene)
            images.append(_paint(scene, table.images, things, draw))
            captions.append(grammar.sentences(scene, NUM_CAPTIONS, draw))
    names = [f"scene {row}" for row in range(len(scenes))]
    return make_table(
        source, DrawnPictures(np.stack(images), names), captions, splits,
        licence=table.licence, contents=tuple(scenes),
    )  # fmt: skip


def _things(table: PictureTable, nouns: list[str]) -> dict[str, dict[str, np.ndarray]]:
    """Rows of each kind, for training and for tests."""
    if set(nouns) != set(table.classes):
        raise UsageError(f"dataset: {table.name} shows other things than {', '.join(nouns)}")
    return {
        split: {
            noun: table.rows(split)[table.labels[table.rows(split)] == table.classes.index(noun)]
            for noun in nouns
        }
        for split in ("train", "test")
    }


def is_held_out(role: str, colour: str, noun: str) -> bool:
    """Whether this combination never occurs in training."""
    return zlib.crc32(f"{noun} {colour} {role}".encode()) / 2**32 < HELD_OUT


def _draw_scene(draw: random.Random, nouns: list[str], *, held_out: bool) -> Scene:
    while True:
        (count,) = draw.choices(list(SHARES), list(SHARES.values()))
        roles = {
            1: ("alone",),
            2: draw.choice((("left", "right"), ("above", "below"))),
            3: ("left", "right", draw.choice(("over", "under"))),
        }[count]
        scene = tuple(
            sorted((role, draw.choice(list(COLOURS)), draw.choice(nouns)) for role in roles)
        )
        if held_out == any(is_held_out(*thing) for thing in scene):
            return scene


def _paint(
    scene: Scene, pictures: np.ndarray, things: dict[str, np.ndarray], draw: random.Random
) -> np.ndarray:
    canvas = np.zeros((CANVAS, CANVAS, 3), np.uint8)
    row, column = draw.randrange(2), draw.randrange(2)
    pair_row = 1 if any(role == "over" for role, *_ in scene) else 0
    cells = {
        "alone": (row, column),
        "above": (0, column), "below": (1, column),
        "over": (0, column), "under": (1, column),
    }  # fmt: skip
    if len(scene) < 3:
        pair_row = row
    cells |= {"left": (pair_row, 0), "right": (pair_row, 1)}
    for role, colour, noun in scene:
        picture = pictures[draw.choice(things[noun])][..., 0].astype(np.float32) / 255
        top, left = (CELL * cell + draw.randrange(CELL - SIDE + 1) for cell in cells[role])
        tinted = np.rint(picture[..., None] * COLOURS[colour]).astype(np.uint8)
        canvas[top : top + SIDE, left : left + SIDE] = tinted
    return canvas
