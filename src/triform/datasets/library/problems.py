"""What is wrong with a library: one line each, with the file, the row and what to do."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, Literal

PREPARE = "make it again: triform shapes prepare MESHES LIBRARY"


@dataclasses.dataclass(frozen=True, order=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        level: an error keeps a file from being used; a warning says what may be meant otherwise.
        kind: what many such problems have in common.
        file: path inside the library; a folder where it is about all of its files.
        row: line of a table, from 1, or 0.
        problem: what is wrong, with the value seen.
        remedy: what to do.
    """

    level: Literal["error", "warning"]
    kind: str
    file: str
    row: int
    problem: str
    remedy: str

    @property
    def line(self) -> str:
        """The problem as one line."""
        place = f"{self.file}, row {self.row}" if self.row else self.file
        return f"{place}: {self.problem}; {self.remedy}"


def error(kind: str, file: str, problem: str, remedy: str, row: int = 0) -> Problem:
    """Something that keeps a file from being used."""
    return Problem("error", kind, file, row, " ".join(problem.split()), remedy)


def warning(kind: str, file: str, problem: str, remedy: str, row: int = 0) -> Problem:
    """Something that may be meant otherwise."""
    return Problem("warning", kind, file, row, " ".join(problem.split()), remedy)


def as_records(problems: Iterable[Problem]) -> list[dict[str, Any]]:
    """Problems as plain data."""
    return [dataclasses.asdict(problem) for problem in problems]


def as_lines(problems: Sequence[Problem], most: int) -> list[str]:
    """Problems as text, errors first, at most so many lines of each kind.

    Args:
        problems: any.
        most: lines of one kind; 0 shows all.
    """
    lines = []
    for level in ("error", "warning"):
        groups: dict[str, list[Problem]] = {}
        for problem in problems:
            if problem.level == level:
                groups.setdefault(problem.kind, []).append(problem)
        for group in groups.values():
            shown = group[:most] if most else group
            lines += [f"{level}: {problem.line}" for problem in shown]
            if len(shown) < len(group):
                lines.append(
                    f"{level}: ... and {len(group) - len(shown):,} more like this (--most 0: all)"
                )
    return lines
