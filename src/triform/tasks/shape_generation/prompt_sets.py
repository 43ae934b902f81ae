"""Prompts by which generators of shapes are tested, and what their shapes should be.

| set | prompts of | right is |
|---|---|---|
| `groups` | 500 over ten groups | the group, by the classifier |
| `structure` | parts that `parametric` never has together | the group; parts counted in voxels |
| `colors` | colours that a kind never has there | the group; the colour of the surface |
| `materials` | materials that a kind never has there | the group; the colour of the surface |
| `words` | 100 words that no caption there contains | the group |

`scripts/shape_prompts.py` writes the file. Each prompt but the words has a Russian translation.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from triform.tasks.shape_generation.attributes import Attributes

FILE = Path(__file__).with_name("prompt_sets.csv")
COLUMNS = (
    *("set", "prompt", "prompt_ru", "group", "kind", "form", "legs", "shelves", "doors"),
    *("drawers", "color", "material", "word"),
)
SETS = ("groups", "structure", "colors", "materials", "words")
COUNTED = ("legs", "shelves", "doors", "drawers")


@dataclass(frozen=True)
class EvaluationPrompt:
    """A prompt and what its shape should be.

    Attributes:
        set: one of `SETS`.
        prompt: in English.
        prompt_ru: in Russian, or "".
        group: one of ten.
        attributes: what is tested; everything else is unknown.
        word: the unseen word that it contains, or "".
    """

    set: str
    prompt: str
    prompt_ru: str
    group: str
    attributes: Attributes
    word: str


@functools.cache
def read_prompt_sets() -> tuple[EvaluationPrompt, ...]:
    """All prompts of the file."""
    with FILE.open(encoding="utf-8", newline="") as file:
        return tuple(_prompt(row) for row in csv.DictReader(file))


def _prompt(row: dict[str, str]) -> EvaluationPrompt:
    counts = {name: int(row[name]) for name in COUNTED if row[name]}
    attributes = Attributes(
        kind=row["kind"],
        form=row["form"],
        color=row["color"],
        material=row["material"],
        **counts,  # type: ignore[arg-type]  # integers for the counts
    )
    return EvaluationPrompt(
        row["set"], row["prompt"], row["prompt_ru"], row["group"], attributes, row["word"]
    )


def select_prompts(names: Sequence[str], max_prompts: int = 0) -> list[EvaluationPrompt]:
    """Prompts of the named sets, evenly chosen from each.

    Args:
        names: names of sets.
        max_prompts: at most so many of each set; 0 for all.
    """
    selected: list[EvaluationPrompt] = []
    for name in names:
        prompts = [case for case in read_prompt_sets() if case.set == name]
        stride = max(1, -(-len(prompts) // max_prompts)) if max_prompts else 1
        selected += prompts[::stride]
    return selected
