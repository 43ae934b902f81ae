"""Plain data as text for people: records as columns, one record as `name  value` lines.

Every cell is one line of printable characters, whatever stands in the data.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from triform.base.printable import printable


def table(answer: Any) -> str:
    """Plain data as text: a list of records as columns, a record as `name  value` lines."""
    if isinstance(answer, Mapping):
        rows = [
            [cell(str(key)), cell(value)] for key, value in answer.items() if not is_table(value)
        ]
        parts = [columns(rows)] if rows else []
        parts += [
            f"{cell(str(key))}\n{table(value)}" for key, value in answer.items() if is_table(value)
        ]
        return "\n\n".join(parts)
    if is_table(answer):
        names = list(dict.fromkeys(key for record in answer for key in record))
        return columns(
            [[*map(cell, names)], *([cell(record.get(key)) for key in names] for record in answer)]
        )
    if isinstance(answer, list | tuple):
        return "\n".join(cell(value) for value in answer)
    return cell(answer)


def is_table(value: Any) -> bool:
    """Whether this is a non-empty list of records."""
    return (
        isinstance(value, list | tuple)
        and len(value) > 0
        and all(isinstance(record, Mapping) for record in value)
    )


def cell(value: Any) -> str:
    """One value as a word or two."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.4g}"
        case Mapping():
            return ", ".join(f"{cell(str(key))}={cell(item)}" for key, item in value.items())
        case list() | tuple():
            return ", ".join(cell(item) for item in value)
        case _:
            return printable(str(value))


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows of words as left-aligned columns."""
    rows = [[printable(word) for word in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(f"{word:{width}}" for word, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)
