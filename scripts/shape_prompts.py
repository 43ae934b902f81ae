"""Write `tasks/shape_generation/prompt_sets.csv`, by which generators of shapes are tested.

Everything follows from the held-out combinations, colours and words of the data set `parametric`
(`datasets/parametric/varied/held_out.py`) and from a seed.
"""

import csv
import random
from collections.abc import Iterator
from dataclasses import asdict
from io import StringIO

from triform.base.files import atomic_write
from triform.datasets.parametric.varied import held_out
from triform.tasks.shape_generation.attribute_captions import describe
from triform.tasks.shape_generation.attribute_parser import parse_attributes
from triform.tasks.shape_generation.attributes import (
    COLORS,
    KINDS_BY_GROUP,
    MATERIALS,
    Attributes,
)
from triform.tasks.shape_generation.categories import GROUPS
from triform.tasks.shape_generation.prompt_sets import COLUMNS, FILE
from triform.text.prompts import with_article

PROMPTS_PER_GROUP = 50
TEXTS = ("prompt", "prompt_ru")
TEMPLATES = ("{}", "3d model of {}", "a picture of {}")
SOLID_COLORS = ("red", "white", "black", "blue", "green", "brown", "grey", "yellow")


def rows() -> Iterator[dict[str, object]]:
    rng = random.Random(20)
    yield from group_rows(rng)
    yield from structure_rows(rng)
    yield from color_rows()
    for word, group in held_out.held_out_words():
        yield {"set": "words", "prompt": with_article(word), "group": group, "word": word}


def row(name: str, attributes: Attributes, group: str, **fields: object) -> dict[str, object]:
    known = {k: v for k, v in asdict(attributes).items() if v not in ("", None)}
    return {
        "set": name,
        "prompt": describe(attributes),
        "prompt_ru": describe(attributes, "ru"),
        "group": group,
        **known,
        **fields,
    }


def group_rows(rng: random.Random) -> Iterator[dict[str, object]]:
    """Fifty prompts for each group: kinds alone, in a colour, of a material, tall or wide."""
    for group in GROUPS:
        kinds = [kind for kind in KINDS_BY_GROUP[group] if kind not in ("mirror", "airplane")]
        seen: dict[str, dict[str, object]] = {}
        while len(seen) < PROMPTS_PER_GROUP:
            kind = rng.choice(kinds)
            fields = rng.choice(
                (
                    {},
                    {"color": rng.choice(SOLID_COLORS)},
                    {"height": rng.choice(("low", "tall"))},
                    {"width": rng.choice(("narrow", "wide"))},
                    {"material": rng.choice(MATERIALS[:4])},
                )
            )
            template = rng.choice(TEMPLATES)
            attributes = Attributes(kind=kind, **fields)
            entry = row("groups", attributes, group)
            # "a low table" is another kind, and some kinds have no Russian noun.
            if any(parse_attributes(str(entry[key])) != attributes for key in TEXTS):
                continue
            entry["prompt"] = template.format(entry["prompt"])
            seen.setdefault(str(entry["prompt"]), entry)
        yield from seen.values()


def structure_rows(rng: random.Random) -> Iterator[dict[str, object]]:
    """Numbers of parts that are never together in the training data, four prompts for each."""
    combinations: list[Attributes] = []
    for kind, pairs in held_out.LEGS.items():
        combinations += [Attributes(kind=kind, form=f, legs=n) for f, n in sorted(pairs)]
    for below, counts in held_out.SHELVES.items():
        combinations += [
            Attributes(kind="bookcase", shelves=n, **{below: m}) for n, m in sorted(counts)
        ]
    for kind, counts in held_out.DOORS.items():
        combinations += [Attributes(kind=kind, doors=n, drawers=m) for n, m in sorted(counts)]
    group_of_kind = {kind: group for group, kinds in KINDS_BY_GROUP.items() for kind in kinds}
    for attributes in combinations:
        group = group_of_kind[attributes.kind]
        # "wardrobe" is one of the words that no caption contains.
        noun = {"wardrobe": "closet"}.get(attributes.kind, "")
        for color in ("", *rng.sample(SOLID_COLORS, 3)):
            colored = Attributes(**{**asdict(attributes), "color": color})
            entry = row("structure", colored, group, prompt=describe(colored, noun=noun))
            yield {**entry, "color": ""}


def color_rows() -> Iterator[dict[str, object]]:
    """Colours and materials on kinds that never have them."""
    group_of_kind = {kind: group for group, kinds in KINDS_BY_GROUP.items() for kind in kinds}
    for kind, colors in held_out.COLORS.items():
        for color in (color for color in COLORS if color in colors):
            for fields in ({}, {"legs": 4}, {"height": "low"}):
                attributes = Attributes(kind=kind, color=color, **fields)
                noun = {"wardrobe": "closet"}.get(kind, "")
                entry = row("colors", attributes, group_of_kind[kind])
                entry["prompt"] = describe(attributes, noun=noun)
                yield {**entry, "legs": "", "height": ""}
    for kind, material in held_out.MATERIALS.items():
        noun = {"wardrobe": "closet"}.get(kind, "")
        for fields in ({}, {"height": "low"}):
            attributes = Attributes(kind=kind, material=material, **fields)
            entry = row("materials", attributes, group_of_kind[kind])
            yield {**entry, "prompt": describe(attributes, noun=noun), "height": ""}


def main() -> None:
    text = StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(rows())
    with atomic_write(FILE, "w") as file:
        file.write(text.getvalue())


if __name__ == "__main__":
    main()
