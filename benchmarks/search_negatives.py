"""Negative terms of photo search on drawings whose contents are known: is what must not be there?

    triform data get emoji
    python benchmarks/search_negatives.py

51 queries among the drawings of a maker that no training showed, all its emoji that were trained
on, by the CLIP that ships. Colours without one shape, activities without one gender, and groups of
Unicode without one of their kinds. Printed for each way to use the vectors of both terms: queries
whose ten first hits hold nothing that was excluded, excluded and right ones among ten.
"""

import argparse
import csv
import re
from pathlib import Path

import numpy as np
from PIL import Image

from triform.datasets.captioned.load import load_captioned
from triform.pretrained.shipped_weights import shipped
from triform.systems.clip.gallery.query_vector import without_directions
from triform.systems.clip.trained import Trained

COLORS = ("red", "orange", "yellow", "green", "blue", "purple")
SHAPES = ("heart", "circle", "square")
ACTIVITIES = (
    *("police officer", "detective", "guard", "cook", "farmer", "singer", "pilot", "astronaut"),
    *("vampire", "merperson", "dancing", "biking", "swimming", "golfing"),
)
KINDS = {
    # Query: group in Unicode's table, kind of it that is excluded by this text.
    "animal": ("animals-nature", {"bird": "animal-bird", "insect": "animal-bug"}),
    "sea animal": ("animals-nature", {"fish": "animal-marine"}),
    "food": ("food-drink", {"fruit": "food-fruit", "vegetable": "food-vegetable"}),
    "drink and sweets": ("food-drink", {"dessert": "food-sweet", "drink": "drink"}),
    "transport": ("travel-places", {"airplane": "transport-air", "boat": "transport-water"}),
    "weather": ("travel-places", {"sun and moon": "sky-weather"}),
    "ball game": ("activities", {"sport": "sport"}),
    "musical": ("objects", {"musical instrument": "musical-instrument"}),
}


def queries(groups):
    """Pairs of texts, with functions of a name: is it excluded, is it right?"""
    for number, color in enumerate(COLORS):
        for shape in (SHAPES[number % 3], SHAPES[(number + 1) % 3]):
            yield (color, shape), has(shape), has(color)
    for activity in ACTIVITIES:
        for gender in ("man", "woman"):
            # The list was fixed before it was measured, with this one left out.
            if (activity, gender) != ("golfing", "woman"):
                yield (activity, gender), has(gender), has(activity)
    for query, (group, kinds) in KINDS.items():
        for text, kind in kinds.items():
            yield (
                (query, text),
                lambda name, kind=kind: groups[name][1] == kind,
                lambda name, group=group: groups[name][0] == group,
            )


def has(word):
    """Whether a name has a word or a phrase."""
    return lambda name: re.search(rf"\b{word}\b", name) is not None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--download_path", default="datasets")
    args = parser.parse_args()
    model = Trained(shipped("clip"), "cpu")
    table = load_captioned(
        "emoji:en", download_path=args.download_path, size=model.config.data.image_size
    )
    path = Path(args.download_path) / "emoji/openmoji/package/data/openmoji.csv"
    with path.open(encoding="utf-8") as stream:
        groups = {
            row["annotation"]: (row["group"], row["subgroups"]) for row in csv.DictReader(stream)
        }
    rows = table.rows("test")
    names = [table.contents[row] for row in rows]
    images = model.encode_images([Image.fromarray(table.images.image(row)) for row in rows])
    images = images.numpy()
    ways = {
        "nothing excluded": lambda query, _: query,
        "subtraction": lambda query, negative: query - negative,
        "projection, as in the search": lambda query, negative: without_directions(
            query, [negative]
        ),
    }
    results = {way: [] for way in ways}
    all_queries = list(queries(groups))
    for (text, without), is_excluded, is_right in all_queries:
        query, negative = model.encode_texts([text, without]).numpy()
        for way, combine in ways.items():
            best = np.argsort(-(images @ combine(query, negative)))[:10]
            excluded = [is_excluded(names[row]) for row in best]
            right = [is_right(names[row]) and not is_excluded(names[row]) for row in best]
            results[way].append((sum(excluded), sum(right)))
            if way.startswith("projection") and sum(excluded):
                found = ", ".join(names[row] for row in best if is_excluded(names[row]))
                print(f"  {text} -{without}: {found}")
    print(f"{len(all_queries)} queries, {len(names)} drawings")
    for way, some in results.items():
        excluded, right = np.array(some).T
        print(
            f"  {way:28} clean {np.sum(excluded == 0):2}, excluded among ten "
            f"{excluded.mean():.2f}, right {right.mean() / 10:.3f}"
        )


if __name__ == "__main__":
    main()
