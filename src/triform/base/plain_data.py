"""Read untrusted JSON: bounded depth and size, finite numbers."""

import json
import math
from pathlib import Path
from typing import Any

from triform.base.errors import UserError
from triform.base.files import read_regular

MAX_DEPTH = 32
MAX_VALUES = 50_000
MAX_INTEGER = 2**64
MAX_BYTES = 1_000_000


def parse_json(text: str | bytes, max_values: int = MAX_VALUES) -> Any:
    """Parse JSON; NaN and infinity, which JSON does not have but many programs write, become None.

    Args:
        text: JSON.
        max_values: Most values that it may have.

    Raises:
        ValueError: Not JSON, or not plain data as `check_plain` wants it.
    """
    try:
        content = json.loads(text, parse_constant=lambda _: None)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    check_plain(content, max_values)
    return content


def read_json(path: str | Path, limit: int = MAX_BYTES) -> Any:
    """Read a JSON file.

    Args:
        path: A regular file.
        limit: Most bytes that it may have.

    Raises:
        UserError: Not there, not a regular file, too large, or not JSON of plain data.
    """
    content = read_regular(path, limit)
    try:
        return parse_json(content)
    except ValueError as error:
        reason = " ".join(str(error).split())[:100]
        raise UserError(f"{path}: not a JSON file that can be read: {reason}") from error


def check_plain(content: Any, max_values: int = MAX_VALUES) -> None:
    """Refuse anything but dicts, lists, strings, booleans, None and finite numbers.

    An object that is referenced several times counts each time, since a walk visits it as often.

    Args:
        content: The tree.
        max_values: Most values that it may have.

    Raises:
        ValueError: Something else in it, nested too deep, too many values, or too large a number.
    """
    remaining, pending = max_values, [(content, 0)]
    while pending:
        value, depth = pending.pop()
        remaining -= 1
        if depth > MAX_DEPTH or remaining < 0:
            raise ValueError(
                "nested too deep" if remaining >= 0 else f"more than {max_values:,} values"
            )
        match value:
            case None | bool() | str():
                continue
            case int() if abs(value) <= MAX_INTEGER:
                continue
            case float() if math.isfinite(value):
                continue
            case int() | float():
                raise ValueError("a number that is too large or not finite")
            case dict() if all(isinstance(key, str) for key in value):
                children = list(value.values()) if len(value) <= remaining else None
            case list() | tuple():
                children = list(value) if len(value) <= remaining else None
            case _:
                raise ValueError(f"{type(value).__name__} in it, which is no plain data")
        if children is None or len(pending) + len(children) > max_values:
            raise ValueError(f"more than {max_values:,} values")
        pending += [(child, depth + 1) for child in children]
