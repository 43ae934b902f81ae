"""Captions of a shape in the languages of its source, for training.

Furniture libraries name their models in up to 20 languages. Parametric shapes have English captions
only; their Russian ones follow from what the English ones say.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

from triform.datasets.parametric.varied.held_out import has_held_out_word
from triform.datasets.shape import Shape
from triform.tasks.shape_generation.attribute_captions import describe
from triform.tasks.shape_generation.attribute_parser import merge_attributes
from triform.tasks.shape_generation.attributes import COUNTS, Attributes

ALL_LANGUAGES = "all"


def captions_by_language(
    shape: Shape, languages: Collection[str] = (ALL_LANGUAGES,), *, keep_held_out: bool = False
) -> dict[str, tuple[str, ...]]:
    """Captions of a shape in each of several languages.

    Args:
        shape: a shape of any data set.
        languages: codes ("en", "ru", "zh_CN", ...), or "all".
        keep_held_out: keep English captions with one of the 100 words that are held out for tests.

    Returns:
        Language code -> captions, without repeats; languages without a caption are left out. A
        shape whose captions are all English also has Russian ones, where its kind is known.
    """
    captions: dict[str, dict[str, None]] = {}
    for caption, language in zip(shape.captions, shape.languages, strict=True):
        if keep_held_out or language != "en" or not has_held_out_word(caption):
            captions.setdefault(language, {})[caption] = None
    if {*shape.languages} == {"en"}:
        known = merge_attributes(shape.english)
        captions["ru"] = dict.fromkeys(filter(None, russian_captions(known)))
    has_all = ALL_LANGUAGES in languages
    return {
        language: tuple(texts)
        for language, texts in captions.items()
        if texts and (has_all or language in languages)
    }


def russian_captions(attributes: Attributes) -> tuple[str, ...]:
    """Russian captions: all attributes, the adjectives alone, the parts alone, the noun."""
    no_parts = dict.fromkeys((*COUNTS, "armrests", "back"))
    no_adjectives = dict.fromkeys(("form", "material", "color", "height", "width"), "")
    return tuple(
        describe(part, "ru")
        for part in (
            attributes,
            dataclasses.replace(attributes, **no_parts),  # type: ignore[arg-type]
            dataclasses.replace(attributes, **no_adjectives),  # type: ignore[arg-type]
            Attributes(kind=attributes.kind),
        )
    )
