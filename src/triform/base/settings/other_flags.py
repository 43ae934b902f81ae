"""Flags of other verbs that a verb accepts, because its document gives them to every mode."""

from collections.abc import Sequence
from typing import Annotated, Any

import pydantic

from triform.base.errors import UsageError
from triform.base.settings.flags import FlagTable, pop_values


def split_flags(
    table: FlagTable, words: Sequence[str], others: Sequence[type[pydantic.BaseModel]]
) -> tuple[list[str], dict[str, Any]]:
    """Take flags of other settings out of a command line.

    Args:
        table: The verb's own flags, which come first.
        words: The command line.
        others: Settings whose flags are accepted as well.

    Returns:
        The other words, and dotted name -> value of each setting that was taken out.

    Raises:
        UsageError: A value is not allowed.
    """
    tables = [FlagTable(settings) for settings in others]
    remaining: list[str] = []
    values: dict[str, Any] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name = word[2:].partition("=")[0] if word.startswith("--") else ""
        other = next((each for each in tables if name and each.knows(name)), None)
        if other is None or table.knows(name):
            remaining.append(word)
            continue
        flag, _ = other.find(name)
        taken = [word] if "=" in word else [word, *pop_values(rest, flag)]
        # With its bounds alone: a type that stands by itself has no other names.
        parts = (flag.field.annotation, *flag.field.metadata, "")
        kind: Any = Annotated[parts]
        try:
            for path, value in other.read(taken).items():
                values[".".join(path)] = pydantic.TypeAdapter(kind).validate_python(value)
        except pydantic.ValidationError as error:
            reason = error.errors()[0]["msg"].lower()
            raise UsageError(f"--{name} {' '.join(taken[1:])}: {reason}") from error
    return remaining, values
