"""Format plain data as text: records as columns, one record as `name  value` lines.

Every cell is one line of printable characters.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from triform.base.printable import printable

MAX_ENTRIES = 10
"""Entries of a list that are shown in one cell."""


def format_table(data: Any) -> str:
    """Format plain data: a list of records as columns, a record as `name  value` lines."""
    if isinstance(data, Mapping):
        rows = [
            [format_cell(str(key)), format_cell(value)]
            for key, value in data.items()
            if not is_table(value)
        ]
        parts = [format_columns(rows)] if rows else []
        parts += [
            f"{format_cell(str(key))}\n{format_table(value)}"
            for key, value in data.items()
            if is_table(value)
        ]
        return "\n\n".join(parts)
    if is_table(data):
        names = list(dict.fromkeys(key for record in data for key in record))
        return format_columns(
            [
                [*map(format_cell, names)],
                *([format_cell(record.get(key)) for key in names] for record in data),
            ]
        )
    if isinstance(data, list | tuple):
        return "\n".join(format_cell(value) for value in data)
    return format_cell(data)


def is_table(value: Any) -> bool:
    """Whether this is a non-empty list of records."""
    return (
        isinstance(value, list | tuple)
        and len(value) > 0
        and all(isinstance(record, Mapping) for record in value)
    )


def format_cell(value: Any) -> str:
    """Format one value in a few words."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.4g}"
        case Mapping():
            return ", ".join(
                f"{format_cell(str(key))}={format_cell(entry)}" for key, entry in value.items()
            )
        case list() | tuple() if len(value) > MAX_ENTRIES:
            return f"{format_cell(value[:MAX_ENTRIES])}, and {len(value) - MAX_ENTRIES} more"
        case list() | tuple():
            return ", ".join(format_cell(entry) for entry in value)
        case _:
            return printable(str(value))


def format_columns(rows: Sequence[Sequence[str]]) -> str:
    """Format rows as left-aligned columns."""
    rows = [[printable(word) for word in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(f"{word:{width}}" for word, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)
