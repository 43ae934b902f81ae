"""Drawn scenes with captions, as a table."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

import numpy as np

from triform.base.errors import UsageError
from triform.base.seeding import hash_seed
from triform.datasets.captioned.drawings import english, russian
from triform.datasets.captioned.drawings.scene import ATTRIBUTES, Scene, render, sample_scene
from triform.datasets.captioned.table import ArrayImages, CaptionTable, make_table

NAME = "drawings"
LANGUAGES: Mapping[str, Callable[[Scene, random.Random], str]] = {
    "en": english.caption,
    "ru": russian.caption,
}
SIZES = {"train": 24_000, "val": 1000, "val_held_out": 1000, "test": 1000, "test_held_out": 1000}
LICENCE = "drawn by the project, Apache-2.0"


def load_drawings(source: str, *, seed: int) -> CaptionTable:
    """Draw a set of scenes of one to four objects, with a caption in each language.

    15 % of all combinations of noun, colour and role (count, or where it stands) never occur in
    training, nor in "val" and "test"; every scene of "val_held_out" and "test_held_out" has at
    least one of them.

    Args:
        source: "drawings" or "drawings:en,ru" (captions in these languages, the first one first);
            with "/400" behind it 400 training scenes and an eighth of that in each other split,
            instead of 24,000 and 1,000.
        seed: Same seed, same scenes.

    Raises:
        UsageError: No such languages, or an impossible number of scenes.
    """
    name, _, count_text = source.partition("/")
    languages = (name.partition(":")[2] or "en").split(",")
    is_count = count_text.isdigit() and 8 <= int(count_text) <= 100_000
    if not set(languages) <= set(LANGUAGES) or ("/" in source and not is_count):
        raise UsageError(
            f"dataset: {source!r} is no set of drawings; drawings:en, drawings:ru, drawings:en,ru, "
            "or one of them with a number of 8 to 100000, as drawings:en/400"
        )
    sizes = SIZES
    if count_text:
        count = int(count_text)
        sizes = {split: count if split == "train" else count // 8 for split in SIZES}
    images, captions, splits = [], [], {}
    scenes: list[Scene] = []
    for split, count in sizes.items():
        rng = random.Random(hash_seed(NAME, split, seed))
        splits[split] = np.arange(len(scenes), len(scenes) + count)
        for _ in range(count):
            scene = sample_scene(rng, held_out=split.endswith("held_out"))
            scenes.append(scene)
            images.append(render(scene, rng))
            texts = {language: make(scene, rng) for language, make in LANGUAGES.items()}
            captions.append([texts[language] for language in languages])
    return make_table(
        source,
        ArrayImages(np.stack(images), [f"drawing {row}" for row in range(len(scenes))]),
        captions,
        splits,
        licence=LICENCE,
        contents=scenes,
        attributes=ATTRIBUTES,
    )
