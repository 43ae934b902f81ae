"""Plain data out of files: JSON of bounded depth and size, with finite numbers."""

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


def parse_json(text: str | bytes) -> Any:
    """What JSON says; NaN and infinity, which are no JSON but are often written, become None.

    Raises:
        ValueError: Not JSON, or not plain data as `check_plain` wants it.
    """
    try:
        content = json.loads(text, parse_constant=lambda _: None)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    check_plain(content)
    return content


def read_json(path: str | Path, limit: int = MAX_BYTES) -> Any:
    """What a JSON file says.

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


def check_plain(content: Any) -> None:
    """Refuse what is no tree of dicts, lists, texts, booleans, None and finite numbers.

    The same object at many places counts each time: what walks the tree would meet it as often.

    Raises:
        ValueError: Something else in it, nested too deep, too many values, or too large a number.
    """
    left, waiting = MAX_VALUES, [(content, 0)]
    while waiting:
        value, depth = waiting.pop()
        left -= 1
        if depth > MAX_DEPTH or left < 0:
            raise ValueError("nested too deep" if left >= 0 else f"more than {MAX_VALUES:,} values")
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
                inside = list(value.values()) if len(value) <= left else None
            case list() | tuple():
                inside = list(value) if len(value) <= left else None
            case _:
                raise ValueError(f"{type(value).__name__} in it, which is no plain data")
        if inside is None or len(waiting) + len(inside) > MAX_VALUES:
            raise ValueError(f"more than {MAX_VALUES:,} values")
        waiting += [(one, depth + 1) for one in inside]
