"""How many captions say what is to be seen, for sets that know it exactly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from triform.datasets.captioned.furniture import head_noun
from triform.datasets.captioned.grammar import Scene
from triform.datasets.captioned.scenes import grammar_of
from triform.datasets.captioned.table import CaptionTable
from triform.text.vocabulary import words_of


def scores(table: CaptionTable, rows: np.ndarray, captions: Sequence[str]) -> dict[str, float]:
    """Shares in [0, 1] of captions that are right.

    Args:
        table: whose pictures were captioned.
        rows: N of its rows.
        captions: N sentences about them.

    Returns:
        Of scenes `content_accuracy`: every kind, colour and place right; and `right_kinds`,
        `right_colours`, `right_places` by themselves. Of emoji `exact_name`. Of furniture
        `head_noun`: what a thing is, by the last word before "with", "for" and the like, and
        `head_noun_met` among those whose noun any training caption has. Nothing where a set does
        not know what it shows.
    """
    if not table.contents:
        return {}
    wanted = [table.contents[row] for row in rows]
    if table.name.startswith("scenes"):
        grammar = grammar_of(table.name)
        said = [grammar.parse(caption) for caption in captions]
        parts = {
            name: _share(*([_part(each, place) for each in some] for some in (said, wanted)))
            for name, place in (("right_places", 0), ("right_colours", 1), ("right_kinds", 2))
        }
        return {"content_accuracy": _share(said, wanted)} | parts
    if table.name == "furniture":
        said_nouns = [head_noun(" ".join(words_of(each))) for each in captions]
        learned = {table.contents[row] for row in table.rows("train")}
        met = [place for place, noun in enumerate(wanted) if noun in learned]
        parts = {"head_noun": _share(said_nouns, wanted)}
        if met:
            some = ([each[place] for place in met] for each in (said_nouns, wanted))
            parts["head_noun_met"] = _share(*some)
        return parts
    return {"exact_name": _share([" ".join(words_of(caption)) for caption in captions], wanted)}


def _part(scene: Scene | None, place: int) -> list[str] | None:
    """The roles, colours or nouns of a scene, without saying whose they are."""
    return None if scene is None else sorted(thing[place] for thing in scene)


def _share(said: Sequence[object], wanted: Sequence[object]) -> float:
    return sum(a == b for a, b in zip(said, wanted, strict=True)) / len(wanted)
