"""`triform shapes`: prepare, check and show shape libraries."""

from collections.abc import Sequence
from typing import Any

from triform.base.settings.command import CommandResult, Verb, run_command
from triform.datasets.library.config import CheckSettings, PrepareSettings, ShowSettings

SUMMARY = "any meshes as training data for every 3D system"


def main(argv: Sequence[str]) -> int:
    """Run `triform shapes`; returns the exit status."""
    return run_command("shapes", SUMMARY, VERBS, argv)


def prepare(settings: PrepareSettings) -> dict[str, Any]:
    """Images, cameras, points, voxels and captions of meshes."""
    from triform.datasets.library.preparation.prepare import run

    return run(settings)


def check(settings: CheckSettings) -> CommandResult:
    """Problems of a library."""
    from triform.datasets.library.checking.check import describe, run

    report, status = run(settings)
    return CommandResult(report, describe(report, settings.max_lines), status)


def show(settings: ShowSettings) -> dict[str, Any]:
    """A contact sheet."""
    from triform.datasets.library.show import run

    return run(settings)


VERBS = {
    "prepare": Verb(PrepareSettings, prepare),
    "check": Verb(CheckSettings, check),
    "show": Verb(ShowSettings, show),
}
