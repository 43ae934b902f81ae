"""Attributes that sentences name, in English and Russian."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from triform.tasks.shape_generation.attribute_parser import merge_attributes, parse_attributes
from triform.tasks.shape_generation.attributes import SEVERAL, Attributes


def said(text: str) -> dict[str, Any]:
    """What a text says, without what it does not say."""
    fields = dataclasses.asdict(parse_attributes(text))
    return {name: value for name, value in fields.items() if value not in ("", None)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a round table with four legs", {"kind": "table", "form": "round", "legs": 4}),
        ("a table with 3 legs", {"kind": "table", "legs": 3}),
        ("A four-legged stool", {"kind": "stool", "legs": 4}),
        ("three-door wardrobe", {"kind": "wardrobe", "doors": 3}),
        ("wardrobe 3 doors", {"kind": "wardrobe", "doors": 3}),
        ("a 3-door closet with a pair of drawers", {"kind": "wardrobe", "doors": 3, "drawers": 2}),
        ("a chair without armrests", {"kind": "chair", "armrests": False}),
        ("a desk with no drawers", {"kind": "desk", "drawers": 0}),
        ("a desk without doors or drawers", {"kind": "desk", "doors": 0, "drawers": 0}),
        ("a desk with drawers", {"kind": "desk", "drawers": SEVERAL}),
        (
            "a chest of drawers with two columns of three drawers",
            {"kind": "chest of drawers", "drawers": 6},
        ),
        ("a cabinet with two glass doors above two doors", {"kind": "cabinet", "doors": 4}),
        (
            "a bookcase with two doors below and four compartments",
            {"kind": "bookcase", "doors": 2, "shelves": 3},
        ),
        ("a two-seater sofa", {"kind": "sofa", "seats": 2}),
        ("a double wide oak bed", {"kind": "bed", "seats": 2, "width": "wide", "material": "wood"}),
        ("a double door", {"kind": "door", "doors": 2}),
        ("two doors", {"kind": "door"}),
        ("a round table with one central leg", {"kind": "table", "form": "round", "legs": 1}),
        ("a table with a pedestal base", {"kind": "table", "legs": 1}),
        ("a table with a central column on four feet", {"kind": "table", "legs": 1}),
        ("a stool with no back", {"kind": "stool", "back": False}),
        # colours, forms and materials of parts say nothing of the whole
        (
            "3d model of a red wooden chair with black legs",
            {"kind": "chair", "color": "red", "material": "wood", "legs": SEVERAL},
        ),
        ("a table with a glass top", {"kind": "table"}),
        ("a table with legs of steel", {"kind": "table", "legs": SEVERAL}),
        ("a chair with a round back", {"kind": "chair", "back": True}),
        ("a vase with red flowers", {"kind": "vase"}),
        (
            "a high-backed chair with four short legs",
            {"kind": "chair", "height": "tall", "legs": 4},
        ),
        ("a table made of metal", {"kind": "table", "material": "metal"}),
        ("a light blue sofa", {"kind": "sofa", "color": "blue"}),
        # nouns of several words
        ("a bedside table", {"kind": "nightstand"}),
        ("a table lamp with a red shade", {"kind": "table lamp"}),
        ("a dog house", {}),
        ("toilets unit", {"kind": "toilet"}),
        # sizes
        ("a table 2 m wide and 80 cm high", {"kind": "table", "width_to_height": 2.5}),
        ("a cabinet, height 2 m, depth 500 mm", {"kind": "cabinet", "depth_to_height": 0.25}),
        # Russian, in the cases that sentences need
        ("круглый стол с четырьмя ножками", {"kind": "table", "form": "round", "legs": 4}),
        ("стол на трёх ножках", {"kind": "table", "legs": 3}),
        ("стол на одной ножке", {"kind": "table", "legs": 1}),
        ("трёхдверный шкаф", {"kind": "wardrobe", "doors": 3}),
        ("шкаф с двумя дверцами и тремя ящиками", {"kind": "wardrobe", "doors": 2, "drawers": 3}),
        ("диван без подлокотников", {"kind": "sofa", "armrests": False}),
        (
            "красный деревянный стул с чёрными ножками",
            {"kind": "chair", "color": "red", "material": "wood", "legs": SEVERAL},
        ),
        ("двуспальная кровать", {"kind": "bed", "seats": 2}),
        ("двухместный диван", {"kind": "sofa", "seats": 2}),
        ("книжный шкаф с пятью полками", {"kind": "bookcase", "shelves": 5}),
        ("стол письменный", {"kind": "desk"}),
        (
            "квадратный журнальный столик из стекла",
            {"kind": "coffee table", "form": "square", "material": "glass"},
        ),
        ("3д модель зелёного кресла", {"kind": "armchair", "color": "green"}),
        ("стол без ящиков", {"kind": "table", "drawers": 0}),
        ("стол шириной 2 м и высотой 80 см", {"kind": "table", "width_to_height": 2.5}),
        # nothing to understand
        ("", {}),
        ("xqzt bvkw", {}),
        ("美しい夕焼け", {}),
    ],
)
def test_sentences(text: str, expected: dict[str, Any]) -> None:
    assert said(text) == pytest.approx(expected)


def test_language_can_be_given() -> None:
    assert parse_attributes("a red table", "ru") == Attributes()
    assert parse_attributes("a red table", "xx") == parse_attributes("a red table", "en")


def test_first_caption_counts() -> None:
    texts = ["a table with three legs", "a red desk with four legs"]
    assert merge_attributes(texts) == Attributes(kind="table", legs=3, color="red")
