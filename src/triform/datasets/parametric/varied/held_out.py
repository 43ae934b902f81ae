"""What the data set `parametric` leaves out, so that a generator can be tested on it.

Numbers of parts that no training shape has together with another property, colours that a kind
never has, and 100 words that no training caption contains (`held_out_words.csv`).
"""

from __future__ import annotations

import csv
import functools
import re
from collections.abc import Iterable
from pathlib import Path

WORDS_FILE = Path(__file__).with_name("held_out_words.csv")

LEGS: dict[str, frozenset[tuple[str, int]]] = {
    "table": frozenset({("round", 5), ("square", 3), ("oval", 6), ("rectangular", 5)}),
    "coffee table": frozenset({("round", 4), ("square", 6), ("oval", 5), ("rectangular", 3)}),
    "side table": frozenset({("round", 6), ("square", 4)}),
    "stool": frozenset({("round", 4), ("square", 5)}),
}
"""Kind -> forms of the top and numbers of legs that are never together."""
SHELVES: dict[str, frozenset[tuple[int, int]]] = {
    "doors": frozenset({(2, 2), (3, 1), (4, 2), (5, 1), (6, 2)}),
    "drawers": frozenset({(2, 1), (3, 3), (4, 2), (5, 3), (6, 1)}),
}
"""Shelves of a bookcase and doors, or drawers, below them that are never together."""
DOORS: dict[str, frozenset[tuple[int, int]]] = {
    "wardrobe": frozenset({(1, 2), (2, 3), (3, 2), (4, 1)}),
    "cabinet": frozenset({(1, 3), (2, 1), (3, 2)}),
}
"""Kind -> doors and drawers below them that are never together."""
COLORS: dict[str, frozenset[str]] = {
    "chair": frozenset({"purple", "green"}),
    "stool": frozenset({"orange", "brown"}),
    "table": frozenset({"pink", "blue"}),
    "desk": frozenset({"yellow", "black"}),
    "coffee table": frozenset({"red", "grey"}),
    "bed": frozenset({"orange", "purple"}),
    "sofa": frozenset({"yellow", "pink"}),
    "armchair": frozenset({"white", "blue"}),
    "bookcase": frozenset({"red", "beige"}),
    "wardrobe": frozenset({"green", "grey"}),
    "chest of drawers": frozenset({"black", "beige"}),
    "cabinet": frozenset({"brown", "white"}),
}
"""Kind -> colours that it never has; each of the twelve colours twice."""
MATERIALS: dict[str, str] = {
    "chair": "metal",
    "table": "glass",
    "bed": "metal",
    "desk": "glass",
    "wardrobe": "metal",
    "bookcase": "wood",
    "stool": "wood",
    "chest of drawers": "metal",
}
"""Kind -> material that it never has."""


@functools.cache
def held_out_words() -> tuple[tuple[str, str], ...]:
    """The 100 words and their groups."""
    with WORDS_FILE.open(encoding="utf-8", newline="") as file:
        return tuple((row["word"], row["group"]) for row in csv.DictReader(file))


@functools.cache
def _pattern() -> re.Pattern[str]:
    words = "|".join(
        re.escape(word[:-1]) + "(?:y|ies)" if word.endswith("y") else re.escape(word) + "(?:e?s)?"
        for word, _ in held_out_words()
    )
    return re.compile(rf"\b(?:{words})\b", re.IGNORECASE)


def has_held_out_word(caption: str) -> bool:
    """Whether an English caption contains one of the 100 words, in singular or plural."""
    return bool(_pattern().search(caption))


def without_held_out_words(captions: Iterable[str]) -> tuple[str, ...]:
    """The captions that contain none of the 100 words."""
    return tuple(caption for caption in captions if not has_held_out_word(caption))
