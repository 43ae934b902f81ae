"""The prompts that test generators: how many, and that their texts say what is tested."""

from __future__ import annotations

import dataclasses
from collections import Counter

from triform.datasets.parametric.varied.held_out import has_held_out_word, held_out_words
from triform.tasks.shape_generation.attribute_parser import parse_attributes
from triform.tasks.shape_generation.categories import GROUPS
from triform.tasks.shape_generation.prompt_sets import SETS, read_prompt_sets, select_prompts

PROMPTS = read_prompt_sets()


def test_numbers() -> None:
    assert Counter(item.set for item in PROMPTS) == {
        "groups": 500,
        "structure": 116,
        "colors": 72,
        "materials": 16,
        "words": 100,
    }
    assert {item.group for item in PROMPTS} == {*GROUPS}
    groups = Counter(item.group for item in PROMPTS if item.set == "groups")
    assert set(groups.values()) == {50}
    assert len({(item.set, item.prompt) for item in PROMPTS}) == len(PROMPTS)


def test_both_texts_say_what_is_tested() -> None:
    for item in PROMPTS:
        if item.set == "words":
            continue
        for text in (item.prompt, item.prompt_ru):
            said = dataclasses.asdict(parse_attributes(text))
            for name, value in dataclasses.asdict(item.attributes).items():
                assert value in ("", None, said[name]), (text, name)


def test_words_are_in_no_other_prompt_of_training_words() -> None:
    assert [(item.word, item.group) for item in PROMPTS if item.set == "words"] == [
        *held_out_words()
    ]
    for item in PROMPTS:
        assert has_held_out_word(item.prompt) == (item.set == "words") or item.set == "groups"


def test_selection_is_even() -> None:
    assert len(select_prompts(SETS)) == len(PROMPTS)
    few = select_prompts(("groups", "words"), 10)
    assert Counter(item.set for item in few) == {"groups": 10, "words": 10}
    assert len({item.group for item in few}) == 10
