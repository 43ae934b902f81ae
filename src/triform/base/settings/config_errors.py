"""Errors of pydantic as one line for each wrong setting."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydantic

from triform.base.printable import shorten
from triform.base.settings.flags import FlagTable
from triform.base.settings.nearest import nearest


def describe_problems(
    error: pydantic.ValidationError,
    table: FlagTable,
    flag_paths: set[tuple[str, ...]],
    source: Path | None,
) -> Iterator[str]:
    """Describe each wrong setting in one line: its name, value, what is allowed, a hint.

    Args:
        error: The validation error.
        table: The flags of the settings.
        flag_paths: Paths that were given on the command line.
        source: The file that the others come from, if one was named.

    Yields:
        The lines.
    """
    by_path: dict[tuple[str, ...], list[Any]] = {}
    for detail in error.errors(include_url=False):
        path = tuple(str(part) for part in detail["loc"])
        if detail["type"] == "missing" and table.by_path(path) is None:
            detail["type"] = "tuple_length"  # of a list of fixed length
        # A union reports each of its members below the setting's own path.
        while path and table.by_path(path) is None and table.by_path(path[:-1]) is not None:
            path = path[:-1]
        by_path.setdefault(path, []).append(detail)
    for path, details in by_path.items():
        first, dotted = details[0], ".".join(path)
        flag = table.by_path(path)
        where = f"--{flag.name}" if flag and path in flag_paths else dotted
        where = f"{source}: {where}" if source is not None and path not in flag_paths else where
        value = first["input"]
        if first["type"] == "extra_forbidden":
            known = [".".join(flag.path) for flag in table.flags]
            yield f"{where}: unknown setting{nearest(dotted, known)}"
        elif first["type"] == "missing":
            if flag and path[0] in table.positional:
                yield f"{path[0].upper()} is needed, before the flags or as --{flag.name}"
            else:
                yield f"--{flag.name} is needed" if flag else f"{where} is needed"
        elif not path or (flag is None and first["type"] == "value_error"):
            # A validator of the group names the settings that do not fit together.
            yield f"{f'{source}: ' if source is not None else ''}{_requirement(first)}"
        else:
            hint = nearest(value, _choices(first)) if isinstance(value, str) else ""
            requirement = " or ".join(dict.fromkeys(_requirement(detail) for detail in details))
            yield f"{where}: {shorten(repr(value))} is not allowed: must be {requirement}{hint}"


def _choices(detail: Any) -> list[str]:
    """Allowed values of a setting of literals; empty for others."""
    if detail["type"] != "literal_error":
        return []
    return [word for word in detail["ctx"]["expected"].split("'") if word.strip(" ,or")]


def _requirement(detail: Any) -> str:
    """The requirement that a value broke, as text after "must be"."""
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
    if kind == "tuple_length":
        return "a list of more values"
    if kind == "too_short":
        return f"at least {context['min_length']} values"
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
