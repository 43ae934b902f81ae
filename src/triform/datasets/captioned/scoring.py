"""How many captions say what is to be seen, for sets that know it exactly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

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
        `content_accuracy` of scenes: every kind, colour and place right; `exact_name` of emoji;
        nothing where a set does not know what it shows.
    """
    if not table.contents:
        return {}
    wanted = [table.contents[row] for row in rows]
    if table.name.startswith("scenes"):
        grammar = grammar_of(table.name)
        said = [grammar.parse(caption) for caption in captions]
        return {"content_accuracy": _share(said, wanted)}
    return {"exact_name": _share([" ".join(words_of(caption)) for caption in captions], wanted)}


def _share(said: Sequence[object], wanted: Sequence[object]) -> float:
    return sum(a == b for a, b in zip(said, wanted, strict=True)) / len(wanted)
