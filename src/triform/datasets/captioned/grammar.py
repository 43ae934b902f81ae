"""A grammar of captions: sentences from scenes of one to three objects, and scenes from sentences.

A scene is a tuple of (role, colour, noun): a single object has the role "alone"; two are "left" and
"right" or "above" and "below"; of three, two are "left" and "right" and the third is "over" or
"under" them. A sentence names them in some order, with synonyms, by one of the patterns below;
`parse` accepts exactly the sentences that the grammar generates.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Mapping, Sequence

from triform.text.vocabulary import tokenize

Scene = tuple[tuple[str, str, str], ...]

COLOURS = {
    "red": (255, 64, 64),
    "green": (64, 220, 64),
    "blue": (80, 110, 255),
    "yellow": (255, 235, 64),
    "purple": (200, 80, 230),
    "white": (255, 255, 255),
}
# Two names for every class: greedy decoding would prefer classes that share their probability among
# fewer names.
CLOTHES: Mapping[str, tuple[str, ...]] = {
    "t-shirt": ("t-shirt", "tee"),
    "trouser": ("pair of trousers", "pair of pants"),
    "pullover": ("pullover", "sweater"),
    "dress": ("dress", "gown"),
    "coat": ("coat", "jacket"),
    "sandal": ("sandal", "slipper"),
    "shirt": ("shirt", "blouse"),
    "sneaker": ("sneaker", "trainer"),
    "bag": ("bag", "handbag"),
    "ankle boot": ("ankle boot", "boot"),
}
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
NUMERALS: Mapping[str, tuple[str, ...]] = {
    str(digit): (word,) for digit, word in enumerate(_DIGITS)
}
OPENINGS = ("", "there is ", "here is ", "a picture of ", "this shows ", "one can see ")
# {0}, {1}, {2}: the objects in the order of the roles to their right.
PATTERNS: Sequence[tuple[str, tuple[str, ...]]] = (
    ("{0}", ("alone",)),
    ("{0} to the left of {1}", ("left", "right")),
    ("{0} left of {1}", ("left", "right")),
    ("{0} to the right of {1}", ("right", "left")),
    ("{0} right of {1}", ("right", "left")),
    ("{0} above {1}", ("above", "below")),
    ("{0} over {1}", ("above", "below")),
    ("{0} below {1}", ("below", "above")),
    ("{0} under {1}", ("below", "above")),
    ("{0} to the left of {1} and {2} below them", ("left", "right", "under")),
    ("{0} to the right of {1} and {2} below them", ("right", "left", "under")),
    ("{0} to the left of {1} with {2} underneath", ("left", "right", "under")),
    ("{2} under {0} and {1}", ("left", "right", "under")),
    ("{0} to the left of {1} and {2} above them", ("left", "right", "over")),
    ("{0} to the right of {1} and {2} above them", ("right", "left", "over")),
    ("{0} to the left of {1} with {2} on top", ("left", "right", "over")),
    ("{2} over {0} and {1}", ("left", "right", "over")),
)
_PLACEHOLDER = "@"


class Grammar:
    """Generates and parses sentences about objects.

    Args:
        nouns: Class of an object -> its names, the usual one first.
    """

    def __init__(self, nouns: Mapping[str, tuple[str, ...]]):
        phrases = {
            " ".join(tokenize(f"a {colour} {name}")): (colour, noun)
            for noun, names in nouns.items()
            for colour, name in itertools.product(COLOURS, names)
        }
        self.nouns = nouns
        self._phrases = phrases
        longest_first = sorted(phrases, key=len, reverse=True)
        self._phrase_pattern = re.compile(rf"\b({'|'.join(map(re.escape, longest_first))})\b")
        self._roles = {
            opening + pattern.format(*_PLACEHOLDER * 3): _order(pattern, roles)
            for opening in OPENINGS
            for pattern, roles in PATTERNS
        }

    def sentences(self, scene: Scene, count: int, rng: random.Random) -> tuple[str, ...]:
        """Generate `count` different sentences about a scene, at most as many as openings."""
        objects = {role: (colour, noun) for role, colour, noun in scene}
        patterns = [pattern for pattern in PATTERNS if set(pattern[1]) == set(objects)]
        generated: dict[str, None] = {}
        while len(generated) < count:
            pattern, roles = rng.choice(patterns)
            phrases = []
            for role in roles:
                colour, noun = objects[role]
                phrases.append(f"a {colour} {rng.choice(self.nouns[noun])}")
            generated[rng.choice(OPENINGS) + pattern.format(*phrases)] = None
        return tuple(generated)

    def parse(self, sentence: str) -> Scene | None:
        """The scene that a sentence describes; None if the grammar generates no such sentence."""
        objects: list[tuple[str, str]] = []

        def record(match: re.Match[str]) -> str:
            objects.append(self._phrases[match[0]])
            return _PLACEHOLDER

        template = self._phrase_pattern.sub(record, " ".join(tokenize(sentence)))
        roles = self._roles.get(template)
        if roles is None:
            return None
        return tuple(sorted((role, *phrase) for role, phrase in zip(roles, objects, strict=True)))


def _order(pattern: str, roles: tuple[str, ...]) -> tuple[str, ...]:
    """Roles in the order in which the sentence names them."""
    return tuple(roles[int(index)] for index in re.findall(r"\{(\d)\}", pattern))
