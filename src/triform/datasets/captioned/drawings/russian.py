"""Russian captions of drawn scenes."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from triform.datasets.captioned.drawings.scene import COUNTS, PAIRS, Scene


class Noun(NamedTuple):
    """Forms of a noun; a word before it, such as "воздушный", is part of each."""

    nominative: str
    genitive: str
    instrumental: str
    gender: str


NOUNS: Mapping[str, tuple[Noun, ...]] = {
    "circle": (Noun("круг", "круга", "кругом", "m"),),
    "square": (Noun("квадрат", "квадрата", "квадратом", "m"),),
    "triangle": (Noun("треугольник", "треугольника", "треугольником", "m"),),
    "star": (Noun("звезда", "звезды", "звездой", "f"),),
    "heart": (Noun("сердце", "сердца", "сердцем", "n"),),
    "moon": (Noun("луна", "луны", "луной", "f"), Noun("месяц", "месяца", "месяцем", "m")),
    "sun": (Noun("солнце", "солнца", "солнцем", "n"),),
    "cloud": (Noun("облако", "облака", "облаком", "n"),),
    "flower": (Noun("цветок", "цветка", "цветком", "m"),),
    "tree": (Noun("дерево", "дерева", "деревом", "n"),),
    "house": (Noun("дом", "дома", "домом", "m"),),
    "car": (Noun("машина", "машины", "машиной", "f"),),
    "boat": (Noun("лодка", "лодки", "лодкой", "f"),),
    "fish": (Noun("рыба", "рыбы", "рыбой", "f"),),
    "apple": (Noun("яблоко", "яблока", "яблоком", "n"),),
    "mushroom": (Noun("гриб", "гриба", "грибом", "m"),),
    "cup": (Noun("чашка", "чашки", "чашкой", "f"), Noun("кружка", "кружки", "кружкой", "f")),
    "umbrella": (Noun("зонт", "зонта", "зонтом", "m"),),
    "balloon": (Noun("шарик", "шарика", "шариком", "m"),),
    "face": (Noun("лицо", "лица", "лицом", "n"), Noun("смайлик", "смайлика", "смайликом", "m")),
    "cat": (Noun("кот", "кота", "котом", "m"), Noun("кошка", "кошки", "кошкой", "f")),
    "butterfly": (Noun("бабочка", "бабочки", "бабочкой", "f"),),
    "rocket": (Noun("ракета", "ракеты", "ракетой", "f"),),
    "gift": (Noun("подарок", "подарка", "подарком", "m"),),
}
STEMS = {
    "red": "красн",
    "orange": "оранжев",
    "yellow": "жёлт",
    "green": "зелён",
    "blue": "син",
    "purple": "фиолетов",
    "black": "чёрн",
}
HARD = {
    "nominative": {"m": "ый", "f": "ая", "n": "ое"},
    "genitive": {"m": "ого", "f": "ой", "n": "ого"},
    "instrumental": {"m": "ым", "f": "ой", "n": "ым"},
    "counted": {"m": "ых", "f": "ые", "n": "ых"},
}
SOFT = {
    "nominative": {"m": "ий", "f": "яя", "n": "ее"},
    "genitive": {"m": "его", "f": "ей", "n": "его"},
    "instrumental": {"m": "им", "f": "ей", "n": "им"},
    "counted": {"m": "их", "f": "ие", "n": "их"},
}
"""Endings of adjectives; "counted" stands behind two, three and four."""
NUMERALS = {
    "two": {"m": "два", "f": "две", "n": "два"},
    "three": {"m": "три", "f": "три", "n": "три"},
    "four": {"m": "четыре", "f": "четыре", "n": "четыре"},
}
SETTINGS: Mapping[str, Sequence[str]] = {
    "plain": ("",),
    "meadow": (" на лугу", " на поляне"),
    "beach": (" на пляже", " на берегу"),
    "night": (" ночью",),
    "snow": (" в снегу", " на снегу"),
}
PATTERNS: Mapping[str, Sequence[str]] = {
    "left-right": (
        "{0.nominative} слева от {1.genitive}",
        "{1.nominative} справа от {0.genitive}",
        "слева {0.nominative}, справа {1.nominative}",
    ),
    "above-below": (
        "{0.nominative} над {1.instrumental}",
        "{1.nominative} под {0.instrumental}",
        "вверху {0.nominative}, внизу {1.nominative}",
    ),
}
"""{0}: what is on the left or above; {1}: the other."""


def caption(scene: Scene, rng: random.Random) -> str:
    """One of the captions of a scene; half of them have "е" where "ё" may stand."""
    first = phrase(scene.color, rng.choice(NOUNS[scene.noun]))
    if scene.layout in PAIRS:
        second = phrase(scene.second_color, rng.choice(NOUNS[scene.second_noun]))
        text = rng.choice(PATTERNS[scene.layout]).format(first, second)
    elif scene.layout == COUNTS[0]:
        text = first.nominative
    else:
        text = counted(scene.layout, scene.color, rng.choice(NOUNS[scene.noun]))
    text += rng.choice(SETTINGS[scene.setting])
    return text.replace("ё", "е") if rng.random() < 0.5 else text


def phrase(color: str, noun: Noun) -> Noun:
    """A noun with its colour, in all cases."""
    nominative, genitive, instrumental = (
        f"{_adjective(color, case, noun.gender)} {getattr(noun, case)}"
        for case in ("nominative", "genitive", "instrumental")
    )
    return Noun(nominative, genitive, instrumental, noun.gender)


def counted(count: str, color: str, noun: Noun) -> str:
    """Two, three or four of a noun in a colour."""
    numeral = NUMERALS[count][noun.gender]
    return f"{numeral} {_adjective(color, 'counted', noun.gender)} {noun.genitive}"


def _adjective(color: str, case: str, gender: str) -> str:
    endings = SOFT if color == "blue" else HARD
    return STEMS[color] + endings[case][gender]
