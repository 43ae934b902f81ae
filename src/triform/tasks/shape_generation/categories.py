"""Ten groups of shape categories, the classes of the classifier, and the prompts of `evaluate`."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

from triform.base.errors import UserError
from triform.base.files import read_regular

MAX_BYTES = 10_000_000
PROMPTS_FILE = Path(__file__).with_name("prompts.csv")

GROUPS: dict[str, tuple[str, ...]] = {
    "chairs": ("chair", "armchair", "stool", "seat", "rocker"),
    "tables and desks": ("table", "desk", "workbench"),
    "beds": ("bed", "crib", "cot", "mattress"),
    "sofas": ("sofa", "couch", "futon", "loveseat", "settee"),
    "shelves and cabinets": (
        *("shelf", "shelves", "bookcase", "bookshelf", "cabinet", "cupboard", "wardrobe"),
        *("dresser", "drawers", "locker", "sideboard", "closet"),
    ),
    "lamps": ("lamp", "light", "chandelier", "lamppost", "spotlight", "lantern", "lights"),
    "doors and windows": ("door", "window", "doors", "windows", "doorway"),
    "basins and toilets": (
        *("washbasin", "basin", "sink", "toilet", "toilets", "lavatory", "bidet", "urinal"),
        *("bath", "bathtub", "vanity"),
    ),
    "people": (
        *("male", "female", "man", "woman", "boy", "girl", "person", "people", "child"),
        *("mannequin", "human"),
    ),
    "vehicles": (
        *("car", "truck", "bus", "van", "bike", "bicycle", "scooter", "motorbike", "sedan"),
        *("suv", "motorcycle", "vehicle", "lorry", "pickup", "tricycle", "taxi"),
    ),
}

# The head noun of a name is the last word before any of these.
TAIL_PATTERN = re.compile(r"\b(with|on|of|and|for|without|in|at|that)\b|[,;(]")

GROUP_OF_WORD = {word: group for group, words in GROUPS.items() for word in words}


def group_of(name: str, category: str = "") -> str | None:
    """The group of a catalogue name ("Bedside table" is a table, "Table fan" is neither).

    Args:
        name: Name or caption in English.
        category: The catalogue's category, for cars named by their make.

    Returns:
        A key of `GROUPS`, or None if the head noun belongs to none.
    """
    words = re.findall(r"[a-z]+", TAIL_PATTERN.split(name.lower(), maxsplit=1)[0])
    # "toilets unit", "sofa 2 seats", "double arched window small panes": the noun is not last
    nouns = [word for word in words if word not in ("unit", "seats", "small", "panes")]
    if nouns and nouns[-1] in GROUP_OF_WORD:
        return GROUP_OF_WORD[nouns[-1]]
    return "vehicles" if category.lower() == "vehicles" else None


def read_prompts(path: Path = PROMPTS_FILE) -> list[tuple[str, str]]:
    """Read prompts and their groups from a CSV file with the header `prompt,group`.

    Raises:
        UserError: The file cannot be read, or a row has an unknown group.
    """
    try:
        text = read_regular(path, MAX_BYTES).decode("utf-8")
        reader = csv.DictReader(io.StringIO(text, newline=""))
        if reader.fieldnames is None or not {"prompt", "group"} <= set(reader.fieldnames):
            raise UserError(f"{path}: its first line must be `prompt,group`")
        rows = [(row["prompt"], row["group"]) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read as CSV: {error}") from error
    for line_number, (prompt, group) in enumerate(rows, start=2):
        if group not in GROUPS:
            raise UserError(
                f"{path}: line {line_number}: group {group!r} is not one of {', '.join(GROUPS)}"
            )
        if not prompt:
            raise UserError(f"{path}: line {line_number}: the prompt is empty")
    return rows
