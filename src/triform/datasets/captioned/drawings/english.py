"""English captions of drawn scenes."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from triform.datasets.captioned.drawings.scene import COUNTS, PAIRS, Scene

NOUNS: Mapping[str, tuple[str, ...]] = {
    "boat": ("boat", "sailing boat"),
    "cup": ("cup", "mug"),
    "face": ("face", "smiley"),
    "gift": ("gift", "present"),
}
"""Other names of a noun than its own, the usual one first."""
PLURALS = {"fish": "fish", "butterfly": "butterflies"}
SETTINGS: Mapping[str, Sequence[str]] = {
    "plain": ("",),
    "meadow": (" on a meadow", " in a meadow"),
    "beach": (" on a beach", " on the beach"),
    "night": (" at night",),
    "snow": (" in the snow",),
}
OPENINGS = ("", "", "", "a picture of ", "a drawing of ")
PATTERNS: Mapping[str, Sequence[str]] = {
    "left-right": (
        "{0} to the left of {1}",
        "{0} left of {1}",
        "{1} to the right of {0}",
        "{1} right of {0}",
    ),
    "above-below": ("{0} above {1}", "{0} over {1}", "{1} below {0}", "{1} under {0}"),
}
"""{0}: what is on the left or above; {1}: the other."""


def caption(scene: Scene, rng: random.Random) -> str:
    """One of the captions of a scene."""
    if scene.layout in PAIRS:
        phrases = [
            _phrase(scene.color, scene.noun, rng),
            _phrase(scene.second_color, scene.second_noun, rng),
        ]
        text = rng.choice(PATTERNS[scene.layout]).format(*phrases)
    elif scene.layout == COUNTS[0]:
        text = _phrase(scene.color, scene.noun, rng)
    else:
        text = f"{scene.layout} {scene.color} {plural(_name(scene.noun, rng))}"
    return rng.choice(OPENINGS) + text + rng.choice(SETTINGS[scene.setting])


def plural(noun: str) -> str:
    """The plural of a noun."""
    return PLURALS.get(noun, noun + "s")


def _name(noun: str, rng: random.Random) -> str:
    return rng.choice(NOUNS.get(noun, (noun,)))


def _phrase(color: str, noun: str, rng: random.Random) -> str:
    article = "an" if color[0] in "aeiou" else "a"
    return f"{article} {color} {_name(noun, rng)}"
