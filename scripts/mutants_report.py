"""Report of `make mutants`: mutation score of each area, and every surviving mutant."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from triform.base.files import atomic_write

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

EQUIVALENT = Path(__file__).with_name("mutants_equivalent.toml")


class Outcome(NamedTuple):
    """One mutant and whether a test killed it.

    Args:
        area: Area of the source.
        location: File below the package, and line.
        kind: Name of the operator.
        before: The original line.
        after: The mutated line.
        killed: Whether a test failed.
        reason: Why the mutant is equivalent; empty if it is not.
    """

    area: str
    location: str
    kind: str
    before: str
    after: str
    killed: bool
    reason: str


def why_equivalent(file: str, line: str, operator: str) -> str:
    """Why a mutant is equivalent; "" if it is not known to be."""
    for mutant in tomllib.loads(EQUIVALENT.read_text(encoding="utf-8"))["equivalent"]:
        is_location = mutant.get("file", file) == file and mutant.get("line", line) == line
        if is_location and mutant["operator"] == operator and mutant.get("containing", "") in line:
            return str(mutant["reason"])
    return ""


def write_report(path: Path, outcomes: Sequence[Outcome], command: str) -> None:
    """Write the page with scores and surviving mutants."""
    lines = [
        "# Mutation testing",
        "",
        f"Written by `{command}.",
        "",
        "One mutation of the source at a time (a number, a sign, a comparison, a condition,",
        "two arguments, a deleted statement), then the tests of its folder run. Equivalent",
        "mutants are not counted; they are listed below.",
        "",
        "| area | mutants | killed | score | equivalent |",
        "|---|---|---|---|---|",
    ]
    for area in [*dict.fromkeys(sorted(mutant.area for mutant in outcomes)), "all"]:
        outcomes_of_area = [mutant for mutant in outcomes if area in (mutant.area, "all")]
        lines.append(_row(area, outcomes_of_area))
    survivors = [mutant for mutant in outcomes if not mutant.killed and not mutant.reason]
    lines += ["", "## Survived", "", *_table(survivors)]
    equivalent = [mutant for mutant in outcomes if not mutant.killed and mutant.reason]
    lines += ["", "## Equivalent", "", *_table(equivalent)]
    with atomic_write(path, "w") as file:
        file.write("\n".join(lines) + "\n")


def _row(area: str, outcomes: Sequence[Outcome]) -> str:
    equivalent = sum(not mutant.killed and bool(mutant.reason) for mutant in outcomes)
    killed, counted = sum(mutant.killed for mutant in outcomes), len(outcomes) - equivalent
    share = f"{killed / counted:.0%}" if counted else "-"
    return f"| {area} | {counted} | {killed} | {share} | {equivalent} |"


def _table(outcomes: Iterable[Outcome]) -> list[str]:
    rows = [
        f"| {mutant.location} | {_code(mutant.before)} | {_code(mutant.after)} "
        f"| {mutant.reason or mutant.kind} |"
        for mutant in sorted(outcomes)
    ]
    return ["| location | line | mutated to | |", "|---|---|---|---|", *rows] if rows else ["None."]


def _code(line: str) -> str:
    return f"`{line}`".replace("|", "\\|")
