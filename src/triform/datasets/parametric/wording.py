"""Captions from what was built: one full sentence, shorter ones, and the bare name."""

from __future__ import annotations

import dataclasses

import numpy as np

from triform.text.prompts import plain_prompts, with_article

_NUMBERS = (
    "no",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)


@dataclasses.dataclass
class Words:
    """What a thing is called and what it has.

    Attributes:
        noun: the plainest name ("table").
        synonyms: other names that fit as well ("couch").
        adjectives: words that go before the noun, in the order of speech ("round", "wooden").
        features: phrases that go after "with" ("three legs", "a lower shelf").
        lacks: phrases that go after "without" ("armrests").
    """

    noun: str
    synonyms: list[str] = dataclasses.field(default_factory=list)
    adjectives: list[str] = dataclasses.field(default_factory=list)
    features: list[str] = dataclasses.field(default_factory=list)
    lacks: list[str] = dataclasses.field(default_factory=list)


def number(count: int, thing: str, plural: str = "") -> str:
    """``number(3, "leg")`` -> ``"three legs"``; ``number(1, "drawer")`` -> ``"one drawer"``."""
    word = _NUMBERS[count] if count < len(_NUMBERS) else str(count)
    return f"{word} {thing if count == 1 else plural or thing + 's'}"


def captions(words: Words, rng: np.random.Generator) -> tuple[str, ...]:
    """All captions of a thing, without repeats: the full sentence first, the bare names last."""
    noun = words.noun
    named = " ".join([*words.adjectives, noun])
    features = list(words.features)
    tail = f" with {_listed(features)}" if features else ""
    lacking = f" without {_listed(words.lacks)}" if words.lacks else ""
    joint = " and" if tail and lacking else ""
    said = [with_article(named) + tail + joint + lacking]
    said.append(f"3d model of {', '.join([with_article(named), *features])}")
    if features:
        some = features[int(rng.integers(len(features)))]
        said.append(f"{with_article(noun)} with {some}")
    if len(features) > 1:
        shuffled = [features[i] for i in rng.permutation(len(features))]
        said.append(f"{noun}, {', '.join([*words.adjectives, *shuffled])}")
    if words.adjectives:
        said.append(with_article(named))
        said.append(
            with_article(f"{words.adjectives[int(rng.integers(len(words.adjectives)))]} {noun}")
        )
    if words.synonyms:
        other = words.synonyms[int(rng.integers(len(words.synonyms)))]
        said.append(with_article(" ".join([*words.adjectives, other])) + tail)
        said.append(with_article(other))
    said += plain_prompts(noun)
    return tuple(dict.fromkeys(said))


def _listed(phrases: list[str]) -> str:
    return phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} and {phrases[-1]}"
