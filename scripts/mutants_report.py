"""The report of `make mutants`: a score for each area, and every change that no test noticed."""

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
    """One change and what became of it.

    Args:
        area: Which part of the source.
        place: File below the package, and line.
        kind: Name of the operator.
        before: The line.
        after: The line as it was changed.
        noticed: Whether a test failed.
        reason: Why the change is none, where it is known to be equivalent.
    """

    area: str
    place: str
    kind: str
    before: str
    after: str
    noticed: bool
    reason: str


def why_equivalent(file: str, line: str, operator: str) -> str:
    """Why a change makes no difference; "" where it is not known to be so."""
    for one in tomllib.loads(EQUIVALENT.read_text(encoding="utf-8"))["equivalent"]:
        is_place = one.get("file", file) == file and one.get("line", line) == line
        if is_place and one["operator"] == operator and one.get("containing", "") in line:
            return str(one["reason"])
    return ""


def write_report(path: Path, outcomes: Sequence[Outcome], command: str) -> None:
    """Write the page, survivors by place."""
    lines = [
        "# Changes that tests notice",
        "",
        f"Written by `{command}.",
        "",
        "One place of the source is changed at a time (a number, a sign, a comparison,",
        "a condition, two arguments, a statement left out), and the tests of its folder run.",
        "A change that makes no difference counts neither way; it stands below as equivalent.",
        "",
        "| area | changes | noticed | share | equivalent |",
        "|---|---|---|---|---|",
    ]
    for area in [*dict.fromkeys(sorted(one.area for one in outcomes)), "all"]:
        own = [one for one in outcomes if area in (one.area, "all")]
        lines.append(_row(area, own))
    missed = [one for one in outcomes if not one.noticed and not one.reason]
    lines += ["", "## Noticed by no test", "", *_table(missed)]
    same = [one for one in outcomes if not one.noticed and one.reason]
    lines += ["", "## Equivalent", "", *_table(same)]
    with atomic_write(path, "w") as file:
        file.write("\n".join(lines) + "\n")


def _row(area: str, outcomes: Sequence[Outcome]) -> str:
    same = sum(not one.noticed and bool(one.reason) for one in outcomes)
    noticed, counted = sum(one.noticed for one in outcomes), len(outcomes) - same
    share = f"{noticed / counted:.0%}" if counted else "-"
    return f"| {area} | {counted} | {noticed} | {share} | {same} |"


def _table(outcomes: Iterable[Outcome]) -> list[str]:
    rows = [
        f"| {one.place} | {_code(one.before)} | {_code(one.after)} | {one.reason or one.kind} |"
        for one in sorted(outcomes)
    ]
    return ["| place | line | changed to | |", "|---|---|---|---|", *rows] if rows else ["None."]


def _code(line: str) -> str:
    return f"`{line}`".replace("|", "\\|")
