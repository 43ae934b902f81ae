"""`triform data`: list, get, pick and clear data sets, also by a dialogue."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from triform.base.errors import UserError
from triform.base.logging import get_logger, write_output
from triform.base.settings.command import HELP_WORDS, CommandResult, Verb, run_command
from triform.base.settings.config import Settings
from triform.base.text_table import format_table

logger = get_logger(__name__)

SUMMARY = "data sets of shapes and images: list, get, pick, clear"
QUESTION = "list, get NAME, pick (a folder in a window), clear; empty to leave: "
LISTED = ("name", "objects", "state", "about", "licence")


class ListSettings(Settings):
    """List the known data sets with licence and state."""

    download_path: Path = Field(Path("datasets"), description="Folder of the data sets.")


class GetSettings(Settings):
    """Download or generate data sets."""

    positional = ("names",)

    names: tuple[str, ...] = Field(
        min_length=1,
        description="Names from the list, in any case; testdataset:4000 for 4000 objects.",
    )
    download_path: Path = Field(Path("datasets"), description="Folder of the data sets.")


class PickSettings(Settings):
    """Pick a folder of models in a window."""


class ClearSettings(Settings):
    """Remove downloaded and generated data sets."""

    download_path: Path = Field(Path("datasets"), description="Folder of the data sets.")
    yes: bool = Field(False, description="Do not ask for confirmation.")


def main(argv: Sequence[str]) -> int:
    """Run `triform data`; returns the exit status."""
    if argv:
        return run_command("data", SUMMARY, VERBS, argv)
    if sys.stdin.isatty() and sys.stdout.isatty():
        return run_dialogue()
    return run_command("data", SUMMARY, VERBS, ["list"])


def run_dialogue() -> int:
    """Ask for verbs and run them until an empty line or the end of the input."""
    run_command("data", SUMMARY, VERBS, ["list"])
    write_output("")
    while True:
        try:
            sys.stdout.write(QUESTION)
            sys.stdout.flush()
            words = shlex.split(sys.stdin.readline())
        except ValueError as error:  # a quotation mark without its partner
            logger.error("%s", error)
            continue
        if not words or words[0].lower() in ("quit", "exit", "q"):
            return 0
        verb = words[0].lower()
        # A name alone is to be got.
        words = [verb, *words[1:]] if verb in (*VERBS, *HELP_WORDS) else ["get", *words]
        try:
            run_command("data", SUMMARY, VERBS, words)
        except UserError as error:
            logger.error("%s", error)
        except SystemExit:
            continue  # the help of a verb was shown


def list_all(settings: ListSettings) -> CommandResult:
    """Known data sets."""
    from triform.datasets.images.load import list_images
    from triform.datasets.load import list_datasets

    rows = list_datasets(settings.download_path) + list_images(settings.download_path)
    return CommandResult(rows, format_table([{key: row[key] for key in LISTED} for row in rows]))


def get(settings: GetSettings) -> list[dict[str, Any]]:
    """Name and path of each data set; those that are made in memory have no path."""
    from triform.datasets.images.load import IMAGE_DATASETS, fetch_images
    from triform.datasets.load import load_dataset

    folder, answers = settings.download_path, list[dict[str, Any]]()
    for name in settings.names:
        known = IMAGE_DATASETS.get(name.lower())
        if known is None:
            answers += [{"name": name, "path": str(path)} for path in load_dataset(name, folder)]
        elif known.fetch is None:
            logger.warning("%s: made in memory when it is used; there is nothing to get", name)
            answers.append({"name": name, "path": None})
        else:
            answers.append({"name": name, "path": str(fetch_images(name.lower(), folder))})
    return answers


def pick(settings: PickSettings) -> CommandResult:
    """The picked folder; exit status 1 without one."""
    from triform.datasets.load import select_local_dataset

    path = select_local_dataset()
    if path is None:
        return CommandResult({"path": None}, "nothing was picked", status=1)
    return CommandResult({"path": str(path)}, str(path))


def clear(settings: ClearSettings) -> CommandResult:
    """Number of removed data sets; exit status 1 if not confirmed."""
    from triform.datasets.load import cached_datasets, clear_dataset_cache

    paths = cached_datasets(settings.download_path)
    if not paths:
        text = f"{settings.download_path}: no downloaded or generated data sets"
        return CommandResult({"removed": 0}, text)
    if not settings.yes:
        sys.stderr.write("\n".join([*map(str, paths), "remove these? [y/N] "]))
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            return CommandResult({"removed": 0}, "nothing was removed", status=1)
    removed = clear_dataset_cache(settings.download_path)
    return CommandResult(
        {"removed": len(removed)}, "\n".join([*map(str, paths), f"removed: {len(removed)}"])
    )


VERBS = {
    "list": Verb(ListSettings, list_all),
    "get": Verb(GetSettings, get),
    "pick": Verb(PickSettings, pick),
    "clear": Verb(ClearSettings, clear),
}
