"""What is wrong with a setting, in words for whoever wrote it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydantic

from triform.base.flags import FlagTable, nearest


def describe_problems(
    error: pydantic.ValidationError,
    table: FlagTable,
    typed: set[tuple[str, ...]],
    source: Path | None,
) -> Iterator[str]:
    """One line for each wrong setting: where, the value seen, what is allowed, a hint.

    Args:
        error: What pydantic found.
        table: The flags of the settings.
        typed: Paths that were given on the command line.
        source: The file that the others come from, if one was named.

    Yields:
        The lines.
    """
    by_place: dict[tuple[str, ...], list[Any]] = {}
    for detail in error.errors(include_url=False):
        place = tuple(str(part) for part in detail["loc"])
        # A union reports each of its members below the setting's own path.
        while place and table.by_path(place) is None and table.by_path(place[:-1]) is not None:
            place = place[:-1]
        by_place.setdefault(place, []).append(detail)
    for place, details in by_place.items():
        first, dotted = details[0], ".".join(place)
        flag = table.by_path(place)
        where = f"--{flag.name}" if flag and place in typed else dotted
        where = f"{source}: {where}" if source is not None and place not in typed else where
        value = first["input"]
        if first["type"] == "extra_forbidden":
            known = [".".join(flag.path) for flag in table.flags]
            yield f"{where}: unknown setting{nearest(dotted, known)}"
        elif first["type"] == "missing":
            yield f"--{flag.name} is needed" if flag else f"{where} is needed"
        elif not place or (flag is None and first["type"] == "value_error"):
            # What does not fit together is told by the group, which names the settings.
            yield f"{f'{source}: ' if source is not None else ''}{_must(first)}"
        else:
            hint = nearest(value, _choices(first)) if isinstance(value, str) else ""
            must = " or ".join(dict.fromkeys(_must(detail) for detail in details))
            yield f"{where}: {shorten(repr(value))} is not allowed: must be {must}{hint}"


def shorten(text: str, length: int = 80) -> str:
    """A text that fits into a line with others."""
    return text if len(text) <= length else f"{text[: length - 3]}..."


def _choices(detail: Any) -> list[str]:
    """The words that a setting may be, where it is one of a few."""
    if detail["type"] != "literal_error":
        return []
    return [word for word in detail["ctx"]["expected"].split("'") if word.strip(" ,or")]


def _must(detail: Any) -> str:
    """What a value must be, in words that follow "must be"."""
    limits = {
        "greater_than_equal": ("at least", "ge"),
        "greater_than": ("more than", "gt"),
        "less_than_equal": ("at most", "le"),
        "less_than": ("less than", "lt"),
    }
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in limits:
        words, key = limits[kind]
        return f"{words} {context[key]}"
    if kind == "literal_error":
        return str(context["expected"])
    if kind == "value_error":
        return str(context["error"])
    for start, words in (
        ("int", "a whole number"),
        ("float", "a number"),
        ("finite", "finite"),
        ("bool", "true or false"),
        ("string", "text"),
        ("model", "a group"),
        ("list", "a list"),
        ("tuple", "a list"),
    ):
        if kind.startswith(start):
            return words
    return str(detail["msg"][0].lower() + detail["msg"][1:])
