"""Captions from a structured description: a full sentence, shorter ones, and the noun."""

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
class Description:
    """Names and features of an object.

    Attributes:
        noun: the usual name ("table").
        synonyms: other names ("couch").
        adjectives: words before the noun, in this order ("round", "wooden").
        features: phrases after "with" ("three legs", "a lower shelf").
        lacks: phrases after "without" ("armrests").
    """

    noun: str
    synonyms: list[str] = dataclasses.field(default_factory=list)
    adjectives: list[str] = dataclasses.field(default_factory=list)
    features: list[str] = dataclasses.field(default_factory=list)
    lacks: list[str] = dataclasses.field(default_factory=list)


def count_phrase(count: int, noun: str, plural: str = "") -> str:
    """`count_phrase(3, "leg")` is "three legs"; `count_phrase(1, "drawer")` is "one drawer"."""
    word = _NUMBERS[count] if count < len(_NUMBERS) else str(count)
    return f"{word} {noun if count == 1 else plural or noun + 's'}"


def captions(description: Description, rng: np.random.Generator) -> tuple[str, ...]:
    """All captions of an object, without repeats: the full sentence first, the nouns last."""
    noun = description.noun
    named = " ".join([*description.adjectives, noun])
    features = list(description.features)
    tail = f" with {_listed(features)}" if features else ""
    lacking = f" without {_listed(description.lacks)}" if description.lacks else ""
    joint = " and" if tail and lacking else ""
    sentences = [with_article(named) + tail + joint + lacking]
    sentences.append(f"3d model of {', '.join([with_article(named), *features])}")
    if features:
        some = features[int(rng.integers(len(features)))]
        sentences.append(f"{with_article(noun)} with {some}")
    if len(features) > 1:
        shuffled = [features[i] for i in rng.permutation(len(features))]
        sentences.append(f"{noun}, {', '.join([*description.adjectives, *shuffled])}")
    if description.adjectives:
        sentences.append(with_article(named))
        sentences.append(
            with_article(
                f"{description.adjectives[int(rng.integers(len(description.adjectives)))]} {noun}"
            )
        )
    if description.synonyms:
        other = description.synonyms[int(rng.integers(len(description.synonyms)))]
        sentences.append(with_article(" ".join([*description.adjectives, other])) + tail)
        sentences.append(with_article(other))
    sentences += plain_prompts(noun)
    return tuple(dict.fromkeys(sentences))


def _listed(phrases: list[str]) -> str:
    return phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} and {phrases[-1]}"
