"""Captions from attributes, which the parser reads back."""

from __future__ import annotations

from typing import Any

import pytest

from triform.tasks.shape_generation.attribute_captions import describe
from triform.tasks.shape_generation.attribute_parser import parse_attributes
from triform.tasks.shape_generation.attributes import (
    COLORS,
    GROUP_OF_KIND,
    SEVERAL,
    Attributes,
)

VARIANTS: tuple[dict[str, Any], ...] = (
    {},
    {"color": "blue", "material": "wood"},
    {"form": "round", "legs": 4},
    {"form": "square", "legs": 3, "drawers": 2},
    {"doors": 1, "drawers": 1},
    {"drawers": 0, "legs": SEVERAL},
    {"height": "tall", "width": "narrow", "color": "white"},
    {"legs": 6, "drawers": 0},
)


@pytest.mark.parametrize("language", ["en", "ru"])
def test_the_parser_reads_back_what_is_said(language: str) -> None:
    for kind, group in GROUP_OF_KIND.items():
        for fields in VARIANTS:
            attributes = Attributes(kind=kind, **fields)
            text = describe(attributes, language)
            if text and (language == "en" or group != "others"):
                assert parse_attributes(text) == attributes, text


@pytest.mark.parametrize("language", ["en", "ru"])
def test_all_colors_and_numbers(language: str) -> None:
    for color in COLORS:
        attributes = Attributes(kind="chair", color=color)
        assert parse_attributes(describe(attributes, language)) == attributes
    for count in range(13):
        attributes = Attributes(kind="bookcase", shelves=count, drawers=12 - count)
        assert parse_attributes(describe(attributes, language)) == attributes


@pytest.mark.parametrize(
    ("attributes", "english", "russian"),
    [
        (
            Attributes(kind="table", form="round", legs=4),
            "a round table with four legs",
            "круглый стол с четырьмя ножками",
        ),
        (
            Attributes(kind="bed", color="red", legs=1),
            "a red bed with one leg",
            "красная кровать с одной ножкой",
        ),
        (
            Attributes(kind="armchair", color="blue", back=True, armrests=False),
            "a blue armchair with a back and without armrests",
            "синее кресло со спинкой и без подлокотников",
        ),
        (
            Attributes(kind="wardrobe", doors=2, drawers=1, shelves=0),
            "a wardrobe with two doors and one drawer and without shelves",
            "шкаф с двумя дверцами и одним ящиком и без полок",
        ),
    ],
)
def test_grammar(attributes: Attributes, english: str, russian: str) -> None:
    assert describe(attributes) == english
    assert describe(attributes, "ru") == russian


def test_nothing_to_say() -> None:
    assert describe(Attributes(color="red")) == ""
    assert describe(Attributes(kind="piano"), "ru") == ""  # no Russian noun for it
