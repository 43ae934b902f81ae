"""``triform data``: list, get, pick and clear data sets."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from triform.base.errors import UsageError
from triform.base.logging import write_answer
from triform.base.tables import table


class _Parser(argparse.ArgumentParser):
    """Complains in one line, as every command of the house does."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message}")


def main(argv: Sequence[str]) -> int:
    """Runs ``triform data ...``; returns the exit status."""
    parser = _Parser(
        prog="triform data",
        description="Data sets of shapes and pictures: which there are, and getting them.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="list|get|pick|clear")
    listing = verbs.add_parser(
        "list", help="every known data set, its licence, and whether it is here"
    )
    getting = verbs.add_parser("get", help="download or make data sets")
    picking = verbs.add_parser("pick", help="pick a folder of models in a window")
    clearing = verbs.add_parser("clear", help="remove what was downloaded or made")
    for verb in (listing, getting, clearing):
        verb.add_argument(
            "--download_path",
            type=Path,
            default=Path("datasets"),
            metavar="FOLDER",
            help="where data sets are kept (default: %(default)s)",
        )
    for verb in (listing, getting, picking):
        verb.add_argument("--json", action="store_true", help="the answer as JSON")
    getting.add_argument(
        "names",
        nargs="+",
        metavar="NAME",
        help="names from the list, in any case; testdataset:4000 for 4000 objects",
    )
    clearing.add_argument("--yes", action="store_true", help="do not ask")
    arguments = parser.parse_args(list(argv))
    match arguments.verb:
        case "list":
            return _list(arguments.download_path, arguments.json)
        case "get":
            return _get(arguments.names, arguments.download_path, arguments.json)
        case "pick":
            return _pick(arguments.json)
        case _:
            return _clear(arguments.download_path, arguments.yes)


def _list(download_path: Path, as_json: bool) -> int:
    from triform.datasets.load import list_datasets
    from triform.datasets.pictures.load import list_pictures

    rows = list_datasets(download_path) + list_pictures(download_path)
    if as_json:
        write_answer(rows, as_json=True)
    else:
        write_answer(
            table(
                [
                    {key: row[key] for key in ("name", "objects", "state", "about", "licence")}
                    for row in rows
                ]
            )
        )
    return 0


def _get(names: Sequence[str], download_path: Path, as_json: bool) -> int:
    from triform.datasets.load import load_dataset
    from triform.datasets.pictures.load import KNOWN, bring

    found = [
        {"name": name, "path": str(path)}
        for name in names
        for path in (
            [bring(name.lower(), download_path)]
            if name.lower() in KNOWN
            else load_dataset(name, download_path)
        )
    ]
    write_answer(found, as_json=True) if as_json else write_answer(table(found))
    return 0


def _pick(as_json: bool) -> int:
    from triform.datasets.load import select_local_dataset

    chosen = select_local_dataset()
    if chosen is None:
        write_answer("nothing was picked")
        return 1
    write_answer({"path": str(chosen)}, as_json=True) if as_json else write_answer(str(chosen))
    return 0


def _clear(download_path: Path, yes: bool) -> int:
    from triform.datasets.load import cached_datasets, clear_dataset_cache

    paths = cached_datasets(download_path)
    if not paths:
        write_answer(f"{download_path}: nothing there that was downloaded or made")
        return 0
    write_answer("\n".join(str(path) for path in paths))
    if not yes:
        sys.stderr.write("remove these? [y/N] ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            write_answer("nothing was removed")
            return 1
    write_answer(f"removed: {len(clear_dataset_cache(download_path))}")
    return 0
