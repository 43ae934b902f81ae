"""Scenes of one to three tinted objects, composed of real images, with exact captions.

Objects are pieces of clothing (Fashion-MNIST, all ten classes) or handwritten digits, in cells of
two by two on black, each shifted a little. 35 % of the scenes have one object, 40 % two, 25 %
three. Training scenes consist of training images, test scenes of test images. 15 % of all
combinations of class, colour and role never occur in training: "test" holds the combinations that
do, every scene of "test_held_out" has at least one that does not.
"""

from __future__ import annotations

import random
import zlib

import numpy as np

from triform.base.errors import UsageError
from triform.base.seeding import hash_seed
from triform.datasets.captioned.grammar import CLOTHES, COLOURS, NUMERALS, Grammar, Scene
from triform.datasets.captioned.table import ArrayImages, CaptionTable, make_table
from triform.datasets.images.load import load_images
from triform.datasets.images.table import ImageTable

CANVAS, CELL, SIDE = 64, 32, 28
NUM_CAPTIONS = 5
COUNT_PROBS = {1: 0.35, 2: 0.4, 3: 0.25}
HELD_OUT_SHARE = 0.15
SIZES = {"train": 8000, "val": 1000, "test": 1000, "test_held_out": 1000}
SETS = {"scenes": ("fashion-mnist", CLOTHES), "scenes:digits": ("digits", NUMERALS)}


def grammar_of(name: str) -> Grammar:
    """The grammar of a set of scenes, by the name of the set."""
    return Grammar(SETS[name.partition("/")[0]][1])


def load_scenes(source: str, *, seed: int, download_path: str) -> CaptionTable:
    """Generate a set of scenes.

    Args:
        source: "scenes" or "scenes:digits"; with "/400" behind it 400 training scenes and an
            eighth of that in each other split, instead of 8,000 and 1,000.
        seed: Same seed, same scenes.
        download_path: Download folder.

    Raises:
        UsageError: No such set, or an impossible number of scenes.
        UserError: The images cannot be downloaded.
    """
    name, _, count_text = source.partition("/")
    if name not in SETS or (
        count_text and not (count_text.isdigit() and 8 <= int(count_text) <= 100_000)
    ):
        raise UsageError(
            f"dataset: {source!r} is no set of scenes; scenes, scenes:digits, or one of them with "
            "a number of 8 to 100000, as scenes/400"
        )
    dataset, nouns = SETS[name]
    table = load_images(dataset, size=SIDE, channels=1, download_path=download_path)
    grammar = Grammar(nouns)
    sizes = SIZES
    if count_text:
        count = int(count_text)
        sizes = {split: count if split == "train" else count // 8 for split in SIZES}
    object_rows = _object_rows(table, list(nouns))
    images, captions, splits = [], [], {}
    scenes: list[Scene] = []
    for split, count in sizes.items():
        rng = random.Random(hash_seed("scenes", source, split, seed))
        rows = object_rows["train" if split in ("train", "val") else "test"]
        splits[split] = np.arange(len(scenes), len(scenes) + count)
        for _ in range(count):
            scene = _sample_scene(rng, list(nouns), held_out=split == "test_held_out")
            scenes.append(scene)
            images.append(_render_scene(scene, table.images, rows, rng))
            captions.append(grammar.sentences(scene, NUM_CAPTIONS, rng))
    names = [f"scene {row}" for row in range(len(scenes))]
    return make_table(
        source,
        ArrayImages(np.stack(images), names),
        captions,
        splits,
        licence=table.licence,
        contents=scenes,
    )


def _object_rows(table: ImageTable, nouns: list[str]) -> dict[str, dict[str, np.ndarray]]:
    """Rows of each class, for training and for tests."""
    if set(nouns) != set(table.classes):
        raise UsageError(f"dataset: {table.name} shows other objects than {', '.join(nouns)}")
    return {
        split: {
            noun: table.rows(split)[table.labels[table.rows(split)] == table.classes.index(noun)]
            for noun in nouns
        }
        for split in ("train", "test")
    }


def is_held_out(role: str, colour: str, noun: str) -> bool:
    """Whether this combination never occurs in training."""
    return zlib.crc32(f"{noun} {colour} {role}".encode()) / 2**32 < HELD_OUT_SHARE


def _sample_scene(rng: random.Random, nouns: list[str], *, held_out: bool) -> Scene:
    while True:
        (count,) = rng.choices(list(COUNT_PROBS), list(COUNT_PROBS.values()))
        roles = {
            1: ("alone",),
            2: rng.choice((("left", "right"), ("above", "below"))),
            3: ("left", "right", rng.choice(("over", "under"))),
        }[count]
        scene = tuple(
            sorted((role, rng.choice(list(COLOURS)), rng.choice(nouns)) for role in roles)
        )
        if held_out == any(is_held_out(*part) for part in scene):
            return scene


def _render_scene(
    scene: Scene, images: np.ndarray, rows: dict[str, np.ndarray], rng: random.Random
) -> np.ndarray:
    """An image of a scene, (CANVAS, CANVAS, 3) uint8."""
    canvas = np.zeros((CANVAS, CANVAS, 3), np.uint8)
    row, column = rng.randrange(2), rng.randrange(2)
    pair_row = 1 if any(role == "over" for role, *_ in scene) else 0
    cells = {
        "alone": (row, column),
        "above": (0, column),
        "below": (1, column),
        "over": (0, column),
        "under": (1, column),
    }
    if len(scene) < 3:
        pair_row = row
    cells |= {"left": (pair_row, 0), "right": (pair_row, 1)}
    for role, colour, noun in scene:
        image = images[rng.choice(rows[noun])][..., 0].astype(np.float32) / 255
        top, left = (CELL * cell + rng.randrange(CELL - SIDE + 1) for cell in cells[role])
        tinted = np.rint(image[..., None] * COLOURS[colour]).astype(np.uint8)
        canvas[top : top + SIDE, left : left + SIDE] = tinted
    return canvas
