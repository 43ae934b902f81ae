"""Captions of a shape in several languages."""

from __future__ import annotations

from pathlib import Path

from triform.datasets.shape import MeshFile, Shape
from triform.tasks.shape_generation.multilingual_captions import captions_by_language


def shape(captions: tuple[str, ...], languages: tuple[str, ...]) -> Shape:
    return Shape("a", "test", captions, languages, "", "", "", MeshFile(Path("a.obj")))


CATALOGUE = shape(
    ("couch", "sofa", "Диван", "Canapé"),
    ("en", "en", "ru", "fr"),
)
PARAMETRIC = shape(("a round red table with four legs", "a table"), ("en", "en"))


def test_catalogue_names_in_their_languages() -> None:
    assert captions_by_language(CATALOGUE) == {
        "en": ("sofa",),  # "couch" is one of the words that are held out
        "ru": ("Диван",),
        "fr": ("Canapé",),
    }
    assert captions_by_language(CATALOGUE, ("ru", "de")) == {"ru": ("Диван",)}
    kept = captions_by_language(CATALOGUE, ("en",), keep_held_out=True)
    assert kept == {"en": ("couch", "sofa")}


def test_parametric_shapes_get_russian_captions() -> None:
    assert captions_by_language(PARAMETRIC)["ru"] == (
        "круглый красный стол с четырьмя ножками",
        "круглый красный стол",
        "стол с четырьмя ножками",
        "стол",
    )
    assert captions_by_language(PARAMETRIC, ("en",)) == {"en": PARAMETRIC.captions}


def test_unknown_kind_has_no_russian() -> None:
    assert captions_by_language(shape(("xqzt",), ("en",))) == {"en": ("xqzt",)}
