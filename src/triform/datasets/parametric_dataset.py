"""Data set `parametric`: objects with counted parts, twelve colours, materials and proportions.

Half of the objects are designs of `testdataset`, in other colours and proportions; half are
tables, stools, bookcases, wardrobes, cabinets and chests whose legs, shelves, doors and drawers are
counted. What `parametric/varied/held_out.py` names never occurs. Object n is the same for every
size of the data set.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from triform.datasets.parametric.description import Description, captions
from triform.datasets.parametric.sampler import Sampler
from triform.datasets.parametric.solids import Solids
from triform.datasets.parametric.varied import counted_cases, counted_tables, held_out
from triform.datasets.parametric.varied.finishes import apply_finish, colored_mesh
from triform.datasets.testdataset import GROUPS, GeneratedObject, Generator, write_objects

COUNTED: dict[str, tuple[Generator, ...]] = {
    "tables": (
        *(counted_tables.counted_table, counted_tables.counted_coffee_table),
        *(counted_tables.counted_table, counted_tables.counted_side_table),
    ),
    "chairs": (counted_tables.counted_stool,),
    "storage": (
        *(counted_cases.counted_bookcase, counted_cases.counted_wardrobe),
        *(counted_cases.counted_chest, counted_cases.counted_bookcase),
        counted_cases.counted_cabinet,
    ),
}
"""Group -> designs with counted parts, each as often as it is listed."""
_CYCLE = ("storage", "tables", "storage", "tables", "chairs")
STRETCHED_GROUPS = frozenset({"tables", "storage", "beds"})
MAX_STRETCH = 0.3
"""Largest stretch of an axis, as a natural logarithm."""
NAMED_STRETCH = 0.2
"""Stretch from which a shape is called wide or narrow."""
NOUNS = {"wardrobe": "closet", "nightstand": "bedside table"}
"""Nouns in place of words that no caption contains."""
_COUNTED_LEGS = re.compile(r"\b(three|four|five|six) (?:\w+ )?legs\b")
_NUMBERS = {"three": 3, "four": 4, "five": 5, "six": 6}
_MAX_DRAWS = 20


def generate_varied_object(index: int, seed: int = 0) -> GeneratedObject:
    """Generate an object (0, 1, 2, ...): +Y up, front to +Z, in metres, standing on y = 0."""
    for draw in range(_MAX_DRAWS):
        generated = _generate(index, seed, draw)
        if generated is not None:
            return generated
    raise AssertionError(f"object {index} of seed {seed}: every draw is held out")


def generate_varied_objects(count: int, seed: int = 0) -> Iterator[GeneratedObject]:
    """Generate the first `count` objects."""
    return (generate_varied_object(index, seed) for index in range(count))


def write_parametric(
    folder: Path, count: int, seed: int = 0, progress: Callable[[int], object] | None = None
) -> None:
    """Write objects as OBJ files with one material file and a `captions.csv`.

    Args:
        folder: created if missing; existing files are overwritten.
        count: number of objects, 1 or more.
        seed: another seed gives other objects.
        progress: called with 1 after each object.
    """
    write_objects(folder, generate_varied_objects(count, seed), progress)


def _generate(index: int, seed: int, draw: int) -> GeneratedObject | None:
    """An object, or None where this draw gives what is held out."""
    half, is_counted = divmod(index, 2)
    if is_counted:
        group = _CYCLE[half % len(_CYCLE)]
        round_index = half // len(_CYCLE) * 2 + (half % len(_CYCLE)) // 2
        generators = COUNTED[group]
    else:
        group = list(GROUPS)[half % len(GROUPS)]
        round_index = half // len(GROUPS)
        generators = GROUPS[group]
    generator = generators[round_index % len(generators)]
    name = generator.__name__
    d = Sampler(seed, zlib.crc32(f"varied {name}".encode()), round_index, draw)
    solids, text = generator(d)
    kind = name.removeprefix("counted_").replace("_", " ").replace("chest", "chest of drawers")
    kind = kind.replace("of drawers of drawers", "of drawers")
    if _has_held_out_legs(text):
        return None
    if group in STRETCHED_GROUPS:
        _stretch(d, solids, text)
    colors = apply_finish(d, solids, text, kind, group)
    mesh, face_colors = colored_mesh(solids, colors)
    names = [f"color_{r:02x}{g:02x}{b:02x}" for r, g, b in face_colors.tolist()]
    return GeneratedObject(
        name=f"{name}_{index:05d}",
        kind=NOUNS.get(kind, kind),
        group=group,
        mesh=mesh,
        materials=_runs(names),
        captions=_captions(text, d),
    )


def _has_held_out_legs(text: Description) -> bool:
    """Whether the number of legs never occurs with this form of the kind."""
    excluded = held_out.LEGS.get("stool" if text.noun == "bar stool" else text.noun)
    match = _COUNTED_LEGS.search(", ".join(text.features))
    if not excluded or match is None:
        return False
    return any((form, _NUMBERS[match[1]]) in excluded for form in text.adjectives)


def _stretch(d: Sampler, solids: Solids, text: Description) -> None:
    """Other proportions; round and square tops stay round and square."""
    x, y, z = np.exp(d.rng.uniform(-MAX_STRETCH, MAX_STRETCH, 3) * (1.0, 0.7, 0.7)).tolist()
    if {"round", "square"} & {*text.adjectives}:
        z = x
    solids.move(lambda points: points * (x, y, z))
    if text.noun in ("bar stool", "side table") or {"tall", "low"} & {*text.adjectives}:
        return
    if abs(np.log(x / y)) > NAMED_STRETCH:
        text.adjectives.append("wide" if x > y else "narrow")


def _captions(text: Description, d: Sampler) -> tuple[str, ...]:
    """Captions without held-out words."""
    text.noun = NOUNS.get(text.noun, text.noun)
    text.synonyms = [word for word in text.synonyms if not held_out.has_held_out_word(word)]
    return held_out.without_held_out_words(captions(text, d.rng))


def _runs(names: list[str]) -> tuple[tuple[str, int], ...]:
    """Equal names that follow each other, with their number."""
    runs: list[tuple[str, int]] = []
    for name in names:
        if runs and runs[-1][0] == name:
            runs[-1] = (name, runs[-1][1] + 1)
        else:
            runs.append((name, 1))
    return tuple(runs)
