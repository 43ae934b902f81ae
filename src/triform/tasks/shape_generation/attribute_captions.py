"""Captions from attributes, in English and Russian: the inverse of the parser.

"a round table with four legs", «круглый стол с четырьмя ножками». Russian adjectives agree with
the gender of the noun; numbers and parts are in the instrumental. The forms are in `forms/ru.csv`.
"""

from __future__ import annotations

import csv
import functools
from pathlib import Path

from triform.datasets.parametric.description import count_phrase
from triform.tasks.shape_generation.attributes import COUNTS, SEVERAL, Attributes
from triform.text.prompts import with_article

LANGUAGES = ("en", "ru")
_ADJECTIVES = ("height", "width", "form", "color", "material")
_ENGLISH_PARTS = {
    "legs": ("leg", "legs"),
    "shelves": ("shelf", "shelves"),
    "doors": ("door", "doors"),
    "drawers": ("drawer", "drawers"),
    "seats": ("seat", "seats"),
}
_ENGLISH_ADJECTIVES = {"wood": "wooden"}
_FORMS_FILE = Path(__file__).with_name("forms") / "ru.csv"


def describe(attributes: Attributes, language: str = "en", noun: str = "") -> str:
    """A caption that says all attributes but ratios.

    Args:
        attributes: a kind, and whatever else is known.
        language: "en" or "ru".
        noun: an English noun in place of the kind's usual one.

    Returns:
        The caption; "" without a kind, or for a kind that has no noun in that language.
    """
    if language == "ru":
        return _russian(attributes)
    return _english(attributes, noun)


def _english(attributes: Attributes, noun: str) -> str:
    if not attributes.kind:
        return ""
    adjectives = [getattr(attributes, slot) for slot in _ADJECTIVES]
    words = [_ENGLISH_ADJECTIVES.get(word, word) for word in adjectives if word]
    text = with_article(" ".join([*words, noun or attributes.kind]))
    features, lacks = [], []
    for slot in COUNTS:
        count, (one, many) = getattr(attributes, slot), _ENGLISH_PARTS[slot]
        if count == 0:
            lacks.append(many)
        elif count is not None:
            features.append(many if count == SEVERAL else count_phrase(count, one, many))
    for slot, word in (("armrests", "armrests"), ("back", "a back")):
        if getattr(attributes, slot) is not None:
            (features if getattr(attributes, slot) else lacks).append(word)
    with_text = f" with {_joined(features, 'and')}" if features else ""
    joint = " and" if features and lacks else ""
    return text + with_text + (f"{joint} without {_joined(lacks, 'or')}" if lacks else "")


def _russian(attributes: Attributes) -> str:
    forms = _forms()
    noun, gender = next(
        ((word, g) for g, word in forms.get(("kind", attributes.kind), {}).items() if word),
        ("", ""),
    )
    if not noun:
        return ""
    words = [
        forms[slot, getattr(attributes, slot)][gender]
        for slot in _ADJECTIVES
        if (slot, getattr(attributes, slot)) in forms
    ]
    features, lacks = [], []
    for slot in COUNTS:
        count = getattr(attributes, slot)
        if count == 0:
            lacks.append(forms["without", slot]["plural"])
        elif count is not None:
            features.append(_instrumental(slot, count))
    for slot in ("armrests", "back"):
        value = getattr(attributes, slot)
        if value is not None:
            entry = forms["part" if value else "without", slot]
            word = next(word for word in entry.values() if word)
            (features if value else lacks).append(word)
    text = " ".join([*words, noun])
    if features:
        # «со спинкой», «с ножками».
        text += f" {'со' if features[0].startswith('сп') else 'с'} {_joined(features, 'и')}"
    if lacks:
        text += f"{' и' if features else ''} без {_joined(lacks, 'и без')}"
    return text


def _instrumental(slot: str, count: int) -> str:
    """«четырьмя ножками»."""
    forms = _forms()
    part = forms["part", slot]
    if count == SEVERAL:
        return part["plural"]
    if count == 1:
        gender, noun = next((g, word) for g, word in part.items() if word and g != "plural")
        return f"{forms['instrumental', '1'][gender]} {noun}"
    return f"{forms['instrumental', str(count)]['plural']} {part['plural']}"


def _joined(phrases: list[str], conjunction: str) -> str:
    if len(phrases) == 1:
        return phrases[0]
    return f"{', '.join(phrases[:-1])} {conjunction} {phrases[-1]}"


@functools.cache
def _forms() -> dict[tuple[str, str], dict[str, str]]:
    """(slot, value) -> gender or number -> Russian form."""
    with _FORMS_FILE.open(encoding="utf-8", newline="") as file:
        return {
            (row["slot"], row["value"]): {
                name: row[name] for name in ("masculine", "feminine", "neuter", "plural")
            }
            for row in csv.DictReader(file)
        }
