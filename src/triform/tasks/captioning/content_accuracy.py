"""Accuracy of captions on sets whose images have known contents."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from triform.datasets.captioned.furniture import head_noun
from triform.datasets.captioned.grammar import Scene
from triform.datasets.captioned.scenes import grammar_of
from triform.datasets.captioned.table import CaptionTable
from triform.metrics.intervals import share_interval
from triform.text.vocabulary import tokenize


def content_accuracy(
    table: CaptionTable, rows: np.ndarray, captions: Sequence[str]
) -> dict[str, tuple[float, int]]:
    """Shares of captions with the right content.

    Args:
        table: The set.
        rows: N of its rows.
        captions: N captions of them.

    Returns:
        Name -> share in [0, 1], and of how many captions. Of scenes `content_accuracy` (every
        class, colour and place right) and `right_kinds`, `right_colours`, `right_places` by
        themselves. Of emoji `exact_name`. Of furniture `head_noun`, and `head_noun_met` among
        captions whose noun occurs in training. Empty for sets without known contents.
    """
    if not table.contents:
        return {}
    targets = [table.contents[row] for row in rows]
    total = len(rows)
    if table.name.startswith("scenes"):
        grammar = grammar_of(table.name)
        scenes = [grammar.parse(caption) for caption in captions]
        shares = {"content_accuracy": (_accuracy(scenes, targets), total)}
        for part, name in enumerate(("right_places", "right_colours", "right_kinds")):
            parts = [[_part(scene, part) for scene in side] for side in (scenes, targets)]
            shares[name] = (_accuracy(*parts), total)
        return shares
    sentences = [" ".join(tokenize(caption)) for caption in captions]
    if table.name == "furniture":
        nouns = [head_noun(sentence) for sentence in sentences]
        train_nouns = {table.contents[row] for row in table.rows("train")}
        met = [index for index, noun in enumerate(targets) if noun in train_nouns]
        shares = {"head_noun": (_accuracy(nouns, targets), total)}
        if met:
            pairs = ([side[index] for index in met] for side in (nouns, targets))
            shares["head_noun_met"] = (_accuracy(*pairs), len(met))
        return shares
    return {"exact_name": (_accuracy(sentences, targets), total)}


def content_scores(
    table: CaptionTable, rows: np.ndarray, captions: Sequence[str]
) -> dict[str, float | list[float]]:
    """Rounded shares of `content_accuracy`, each with its 95 % interval (Wilson)."""
    scores: dict[str, float | list[float]] = {}
    for name, (share, total) in content_accuracy(table, rows, captions).items():
        scores[name] = round(share, 4)
        interval = share_interval(round(share * total), total)
        scores[f"{name}_interval"] = [round(end, 4) for end in interval]
    return scores


def _part(scene: Scene | None, part: int) -> list[str] | None:
    """All roles, colours or nouns of a scene, whichever object has them."""
    return None if scene is None else sorted(entry[part] for entry in scene)


def _accuracy(predictions: Sequence[object], targets: Sequence[object]) -> float:
    pairs = zip(predictions, targets, strict=True)
    return sum(prediction == target for prediction, target in pairs) / len(targets)
