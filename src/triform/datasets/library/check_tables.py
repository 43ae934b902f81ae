"""Checking the tables of a library: `captions.csv` and `metadata.json`."""

from __future__ import annotations

import csv
import difflib
import io
import itertools
from collections.abc import Generator, Iterator, Mapping, Set

from triform.base.errors import UserError
from triform.datasets.library.foreign import is_ours, tie
from triform.datasets.library.layout import (
    CAPTIONS,
    FAILED,
    METADATA,
    LibraryObject,
    parse_json,
    parse_metadata,
)
from triform.datasets.library.problems import PREPARE, Problem, error, warning
from triform.datasets.library.store import Store

COLUMNS = ("object_id", "caption", "language")
# Used by nothing here, but other programs keep them in the same table.
# Unknown objects for which a similar one is looked for, among how many, of how many letters.
_MOST_HINTS, _MOST_KNOWN, _LONGEST_HINT = 10, 5000, 100
_KNOWN_COLUMNS = {*COLUMNS, "file", "category", "split"}


def check_captions(
    store: Store, objects: Mapping[str, LibraryObject], named: Mapping[str, LibraryObject]
) -> Iterator[Problem]:
    """What is wrong with `captions.csv`: its form, and whom its rows are about.

    Args:
        store: the library.
        objects: its objects, each of which should have a caption.
        named: objects by file names: a row about one of these is no stranger.
    """
    try:
        data = store.read_bytes(CAPTIONS)
    except FileNotFoundError:
        yield warning(
            "captions missing",
            CAPTIONS,
            "there is none, so no model can learn from texts",
            "write rows of object_id,caption, or prepare with --captions FILE",
        )
        return
    except (OSError, UserError) as problem:
        yield error("captions", CAPTIONS, f"cannot be read ({problem})", "mend or replace it")
        return
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        row = data[: problem.start].count(b"\n") + 1
        yield error(
            "captions encoding",
            CAPTIONS,
            f"is not UTF-8 (byte {data[problem.start]:#x})",
            "save it as UTF-8",
            row,
        )
        return
    described = yield from _check_rows(text, {*objects, *named})
    if described is not None:
        for object_id in objects.keys() - described:
            yield warning(
                "no caption",
                CAPTIONS,
                f"object {object_id!r} has no caption",
                "add a row, or leave it to models that need no text",
            )


def _check_rows(text: str, known: Set[str]) -> Generator[Problem, None, set[str] | None]:
    """Problems of the rows; returns the objects that have a caption, None without a header."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    described: set[str] = set()
    hints = 0
    seen: dict[tuple[str, str], int] = {}
    try:
        header = [name.strip() for name in next(reader, [])]
        key = next((name for name in ("object_id", "file") if name in header), None)
        if key is None or "caption" not in header:
            yield error(
                "captions header",
                CAPTIONS,
                f"its first line is {','.join(header)[:80]!r}",
                "begin with the line object_id,caption or object_id,caption,language",
                1,
            )
            return None
        for name in header:
            if name not in _KNOWN_COLUMNS:
                yield warning(
                    "captions column",
                    CAPTIONS,
                    f"column {name!r} is read by nothing",
                    "leave it, or name it object_id, caption or language",
                    1,
                )
        for cells in reader:
            row = reader.line_num
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                yield error(
                    "captions cells",
                    CAPTIONS,
                    f"{len(cells)} cells where the first line names {len(header)}",
                    "put captions with commas into double quotes",
                    row,
                )
                continue
            values = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
            object_id, caption = values[key], values["caption"]
            if object_id not in known:
                hints += 1
                near = _similar(object_id, known) if hints <= _MOST_HINTS else []
                yield error(
                    "unknown object",
                    CAPTIONS,
                    f"there is no object {object_id[:80]!r}",
                    f"perhaps {near[0]!r} is meant" if near else "remove the row or add its files",
                    row,
                )
            elif not caption:
                yield error(
                    "empty caption",
                    CAPTIONS,
                    f"the caption of {object_id!r} is empty",
                    "write one or remove the row",
                    row,
                )
            elif (object_id, caption) in seen:
                yield warning(
                    "captions twice",
                    CAPTIONS,
                    f"says the same of {object_id!r} as row {seen[object_id, caption]}",
                    "remove one of them",
                    row,
                )
            else:
                seen[object_id, caption] = row
                described.add(object_id)
    except csv.Error as problem:
        yield error(
            "captions form",
            CAPTIONS,
            f"is no CSV from here on ({problem})",
            "close the double quotes, and write those inside a caption twice",
            reader.line_num,
        )
    return described


def _similar(object_id: str, known: Set[str]) -> list[str]:
    """The id that may have been meant; comparing takes the product of both lengths."""
    if len(object_id) > _LONGEST_HINT:
        return []
    some = itertools.islice((one for one in known if len(one) <= _LONGEST_HINT), _MOST_KNOWN)
    return difflib.get_close_matches(object_id, some, n=1, cutoff=0.8)


def check_metadata(
    store: Store, named: Mapping[str, LibraryObject], files: Mapping[str, int]
) -> tuple[dict[str, LibraryObject], list[Problem]]:
    """The objects that `metadata.json` ties together, or else the file names; and its problems.

    Args:
        store: the library.
        named: objects by file names.
        files: every file in its folders.
    """
    try:
        data = store.read_bytes(METADATA)
    except UserError as problem:
        return dict(named), [
            error("metadata", METADATA, f"cannot be read ({problem})", "mend or replace it")
        ]
    except OSError:
        if store.exists(CAPTIONS):
            return dict(named), []
        return dict(named), [
            error(
                "no table",
                METADATA,
                f"is not there, and neither is {CAPTIONS}",
                "a model learns from one or the other: write captions, or a table of object id -> "
                '{"images": [...], "points": ...}',
            )
        ]
    remedy = PREPARE
    try:
        entries = parse_json(data, METADATA)
        if is_ours(entries):
            objects = parse_metadata(entries, METADATA)
        else:
            remedy = 'write object id -> {"images": [...], "points": ...}'
            objects = tie(entries, named, METADATA)
    except UserError as problem:
        said = str(problem).removeprefix(f"{METADATA}: ")
        return dict(named), [error("metadata form", METADATA, said, remedy)]
    problems = []
    for object_id, entry in objects.items():
        if not entry.images and not entry.points:
            problems.append(
                error(
                    "metadata empty",
                    METADATA,
                    f"object {object_id!r} has no pictures and no cloud",
                    "name its files, or remove it",
                )
            )
        problems += [
            error("file missing", path, f"is not there, but {METADATA} names it", remedy)
            for path in entry.files
            if path not in files
        ]
    for object_id in named.keys() - objects.keys():
        problems.append(
            warning(
                "not in metadata",
                METADATA,
                f"object {object_id!r} has files but stands not in it",
                "add it, or remove its files: nothing reads them",
            )
        )
    return objects, problems


def count_failed(store: Store) -> int:
    """How many objects `failed.csv` says could not be prepared."""
    try:
        text = store.read_bytes(FAILED).decode("utf-8-sig", "replace")
        return max(0, sum(1 for _ in csv.reader(io.StringIO(text, newline=""))) - 1)
    except (OSError, UserError, csv.Error):
        return 0
