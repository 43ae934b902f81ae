"""Problems of a library, each in one line: file, row, problem and remedy."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, Literal

PREPARE = "make it again: triform shapes prepare MESHES LIBRARY"


@dataclasses.dataclass(frozen=True, order=True)
class Problem:
    """One problem.

    Attributes:
        level: a file with an error cannot be used; a warning may be intended.
        kind: short name that groups equal problems.
        file: path inside the library; a folder if it is about all of its files.
        row: line of a table, from 1, or 0.
        problem: description, with the value.
        remedy: how to fix it.
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
        position = f"{self.file}, row {self.row}" if self.row else self.file
        return f"{position}: {self.problem}; {self.remedy}"


def error(kind: str, file: str, problem: str, remedy: str, row: int = 0) -> Problem:
    """Problem of a file that cannot be used."""
    return Problem("error", kind, file, row, " ".join(problem.split()), remedy)


def warning(kind: str, file: str, problem: str, remedy: str, row: int = 0) -> Problem:
    """Problem that may be intended."""
    return Problem("warning", kind, file, row, " ".join(problem.split()), remedy)


def as_records(problems: Iterable[Problem]) -> list[dict[str, Any]]:
    """Problems as dictionaries."""
    return [dataclasses.asdict(problem) for problem in problems]


def as_lines(problems: Sequence[Problem], max_lines: int) -> list[str]:
    """Problems as lines of text, errors first.

    Args:
        problems: in any order.
        max_lines: most lines of one kind; 0 shows all.
    """
    lines = []
    for level in ("error", "warning"):
        groups: dict[str, list[Problem]] = {}
        for problem in problems:
            if problem.level == level:
                groups.setdefault(problem.kind, []).append(problem)
        for group in groups.values():
            visible = group[:max_lines] if max_lines else group
            lines += [f"{level}: {problem.line}" for problem in visible]
            if len(visible) < len(group):
                lines.append(
                    f"{level}: ... and {len(group) - len(visible):,} more (--max_lines 0: all)"
                )
    return lines
