"""Conditions that the records of a search's answers have to meet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from triform.base.errors import UserError

Scalar = str | int | float | bool
_SCALARS = (str, int, float, bool)


@dataclass(frozen=True)
class Range:
    """Values from `start` on and below `stop`; either end may be open.

    Numbers are compared with numbers, texts with texts by their code points: ISO dates
    ("2024-05-31T18:30") are texts in the order of time. A record without the field, or with
    the other kind of value in it, is outside.

    Attributes:
        start: The least value, itself inside; None for no lower end.
        stop: The first value that is no longer inside; None for no upper end.
    """

    start: str | int | float | None = None
    stop: str | int | float | None = None


@dataclass(frozen=True)
class StartsWith:
    """Texts that start with this one, such as the paths below a folder ("photos/2024/")."""

    text: str


Condition = list[Scalar] | Range | StartsWith
"""Values of which a field must have one, or what its value must be in."""
Conditions = Mapping[str, Condition]
"""Field -> its condition; a record has to meet all of them."""
Where = Mapping[str, "Scalar | Sequence[Scalar] | Range | StartsWith"]
"""What a caller asks for: a single value stands for a list of one."""


def read_conditions(where: Mapping[str, Any] | None, location: str) -> Conditions:
    """Conditions as galleries use them.

    Args:
        where: What a caller asks for.
        location: The gallery, for messages.

    Raises:
        UserError: A field or a value is not possible.
    """
    return {name: _condition(name, value, location) for name, value in (where or {}).items()}


def _condition(name: str, value: object, location: str) -> Condition:
    if not name or '"' in name:
        raise UserError(f"{location}: where {name!r} = {value!r} is not possible")
    if isinstance(value, StartsWith):
        return value
    if isinstance(value, Range):
        ends = [end for end in (value.start, value.stop) if end is not None]
        if not ends or len({isinstance(end, str) for end in ends}) > 1:
            raise UserError(
                f"{location}: where {name!r} from {value.start!r} to {value.stop!r}: "
                "name one end at least, and two numbers or two texts"
            )
        return value
    values: list[Any] = [value]
    if isinstance(value, list | tuple | set | frozenset):
        values = list(value)
    if not values:
        raise UserError(f"{location}: where {name!r} = {value!r} is not possible")
    if not all(isinstance(one, _SCALARS) for one in values):
        raise UserError(f"{location}: where {name!r} must be text or numbers, not {value!r}")
    return values


def sql_test(conditions: Conditions) -> tuple[str, list[Scalar]]:
    """What a column `record` with JSON has to meet, in SQLite's SQL, and the values in it."""
    tests, values = ["1"], list[Scalar]()
    for name, condition in conditions.items():
        test, some = _test_of_field(condition, f'$."{name}"')
        # A stranger's record may be no JSON, which SQLite takes for an error of the query.
        tests.append(f"CASE WHEN json_valid(record) THEN {test} END")
        values += some
    return " AND ".join(tests), values


def _test_of_field(condition: Condition, path: str) -> tuple[str, list[Scalar]]:
    """A test of one field in SQL, and its values."""
    field = "json_extract(record, ?)"
    if isinstance(condition, StartsWith):
        # LIKE and GLOB have stars of their own.
        test = f"json_type(record, ?) = 'text' AND substr({field}, 1, ?) = ?"
        return test, [path, path, len(condition.text), condition.text]
    if isinstance(condition, Range):
        ends = [(">=", condition.start), ("<", condition.stop)]
        bounds = [(sign, end) for sign, end in ends if end is not None]
        kinds = "('text')" if isinstance(bounds[0][1], str) else "('integer', 'real')"
        tests = [f"json_type(record, ?) IN {kinds}", *(f"{field} {sign} ?" for sign, _ in bounds)]
        return " AND ".join(tests), [path, *(one for _, end in bounds for one in (path, end))]
    return f"{field} IN ({', '.join('?' * len(condition))})", [path, *condition]
