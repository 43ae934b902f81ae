"""Sentences about scenes of one to three tinted things, and back from a sentence to the scene.

A scene is a tuple of (role, colour, noun): one thing has the role "alone"; two are "left" and
"right" or "above" and "below"; of three, two stand "left" and "right" and the third is "over" or
"under" them. A sentence names them in some order, with synonyms, by one of the patterns below;
`parse` accepts exactly the sentences that the grammar makes.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Mapping, Sequence

from triform.text.vocabulary import words_of

Scene = tuple[tuple[str, str, str], ...]

COLOURS = {
    "red": (255, 64, 64), "green": (64, 220, 64), "blue": (80, 110, 255),
    "yellow": (255, 235, 64), "purple": (200, 80, 230), "white": (255, 255, 255),
}  # fmt: skip
# Two names for every kind: a captioner that takes the likeliest word would prefer kinds that share
# their probability among fewer names.
CLOTHES: Mapping[str, tuple[str, ...]] = {
    "t-shirt": ("t-shirt", "tee"), "trouser": ("pair of trousers", "pair of pants"),
    "pullover": ("pullover", "sweater"), "dress": ("dress", "gown"), "coat": ("coat", "jacket"),
    "sandal": ("sandal", "slipper"), "shirt": ("shirt", "blouse"),
    "sneaker": ("sneaker", "trainer"),
    "bag": ("bag", "handbag"), "ankle boot": ("ankle boot", "boot"),
}  # fmt: skip
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
NUMERALS: Mapping[str, tuple[str, ...]] = {
    str(digit): (word,) for digit, word in enumerate(_DIGITS)
}
OPENINGS = ("", "there is ", "here is ", "a picture of ", "this shows ", "one can see ")
# {0}, {1}, {2}: the things in the order of the roles to their right.
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
_THING = "@"


class Grammar:
    """Sentences about things that have these names.

    Args:
        nouns: what a thing is -> what it may be called, the usual name first.
    """

    def __init__(self, nouns: Mapping[str, tuple[str, ...]]):
        phrases = {
            " ".join(words_of(f"a {colour} {name}")): (colour, noun)
            for noun, names in nouns.items()
            for colour, name in itertools.product(COLOURS, names)
        }
        self.nouns = nouns
        self._phrases = phrases
        longest_first = sorted(phrases, key=len, reverse=True)
        self._thing = re.compile(rf"\b({'|'.join(map(re.escape, longest_first))})\b")
        self._patterns = {
            opening + pattern.format(*_THING * 3): _order(pattern, roles)
            for opening in OPENINGS
            for pattern, roles in PATTERNS
        }

    def sentences(self, scene: Scene, count: int, draw: random.Random) -> tuple[str, ...]:
        """So many different sentences about a scene; there are at least as many as openings."""
        things = {role: (colour, noun) for role, colour, noun in scene}
        fitting = [pattern for pattern in PATTERNS if set(pattern[1]) == set(things)]
        made: dict[str, None] = {}
        while len(made) < count:
            pattern, roles = draw.choice(fitting)
            named = []
            for role in roles:
                colour, noun = things[role]
                named.append(f"a {colour} {draw.choice(self.nouns[noun])}")
            made[draw.choice(OPENINGS) + pattern.format(*named)] = None
        return tuple(made)

    def parse(self, sentence: str) -> Scene | None:
        """The scene that a sentence tells of; None where the grammar makes no such sentence."""
        things: list[tuple[str, str]] = []

        def note(match: re.Match[str]) -> str:
            things.append(self._phrases[match[0]])
            return _THING

        skeleton = self._thing.sub(note, " ".join(words_of(sentence)))
        roles = self._patterns.get(skeleton)
        if roles is None:
            return None
        return tuple(sorted((role, *thing) for role, thing in zip(roles, things, strict=True)))


def _order(pattern: str, roles: tuple[str, ...]) -> tuple[str, ...]:
    """Roles in the order in which the sentence names them."""
    return tuple(roles[int(number)] for number in re.findall(r"\{(\d)\}", pattern))
