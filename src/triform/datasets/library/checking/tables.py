"""Checks of the tables of a library: `captions.csv` and `metadata.json`."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Generator, Iterator, Mapping, Set

from triform.base.errors import UserError
from triform.base.settings.nearest import closest_name
from triform.datasets.library.checking.problems import PREPARE, Problem, error, warning
from triform.datasets.library.foreign import is_ours, merge_metadata
from triform.datasets.library.layout import (
    CAPTIONS,
    FAILED,
    METADATA,
    LibraryObject,
    parse_json,
    parse_metadata,
)
from triform.datasets.library.store import Store

COLUMNS = ("object_id", "caption", "language")
# Limits of the search for similar ids: unknown objects, candidates, letters.
_MAX_HINTS, _MAX_CANDIDATES, _MAX_HINT_LENGTH = 10, 5000, 100
# Some are not read here, but other programs keep them in the same table.
_KNOWN_COLUMNS = {*COLUMNS, "file", "category", "split"}


def check_captions(
    store: Store, objects: Mapping[str, LibraryObject], from_names: Mapping[str, LibraryObject]
) -> Iterator[Problem]:
    """Problems of `captions.csv`: its form, and unknown objects in its rows.

    Args:
        store: the library's files.
        objects: its objects, each of which should have a caption.
        from_names: objects from file names, which are known as well.
    """
    try:
        data = store.read_bytes(CAPTIONS)
    except FileNotFoundError:
        yield warning(
            "captions missing",
            CAPTIONS,
            "is missing, so no model can learn from texts",
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
    with_caption = yield from _check_rows(text, {*objects, *from_names})
    if with_caption is not None:
        for object_id in objects.keys() - with_caption:
            yield warning(
                "no caption",
                CAPTIONS,
                f"object {object_id!r} has no caption",
                "add a row, or leave it to models that need no text",
            )


def _check_rows(text: str, known: Set[str]) -> Generator[Problem, None, set[str] | None]:
    """Problems of the rows; returns the objects with a caption, or None without a header."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    with_caption: set[str] = set()
    hints = 0
    first_rows: dict[tuple[str, str], int] = {}
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
                    f"column {name!r} is not used",
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
                similar = _similar(object_id, known) if hints <= _MAX_HINTS else None
                yield error(
                    "unknown object",
                    CAPTIONS,
                    f"there is no object {object_id[:80]!r}",
                    f"perhaps {similar!r} is meant"
                    if similar
                    else "remove the row or add its files",
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
            elif (object_id, caption) in first_rows:
                yield warning(
                    "captions twice",
                    CAPTIONS,
                    f"repeats the caption of {object_id!r} in row {first_rows[object_id, caption]}",
                    "remove one of them",
                    row,
                )
            else:
                first_rows[object_id, caption] = row
                with_caption.add(object_id)
    except csv.Error as problem:
        yield error(
            "captions form",
            CAPTIONS,
            f"is not CSV from here on ({problem})",
            "close the double quotes, and write those inside a caption twice",
            reader.line_num,
        )
    return with_caption


def _similar(object_id: str, known: Set[str]) -> str | None:
    """The most similar id; comparing takes the product of both lengths."""
    if len(object_id) > _MAX_HINT_LENGTH:
        return None
    candidates = itertools.islice(
        (object_id for object_id in known if len(object_id) <= _MAX_HINT_LENGTH), _MAX_CANDIDATES
    )
    return closest_name(object_id, candidates, cutoff=0.8)


def check_metadata(
    store: Store, from_names: Mapping[str, LibraryObject], files: Mapping[str, int]
) -> tuple[dict[str, LibraryObject], list[Problem]]:
    """Objects of `metadata.json`, or else of the file names, and its problems.

    Args:
        store: the library's files.
        from_names: objects from file names.
        files: all files in its folders.
    """
    try:
        data = store.read_bytes(METADATA)
    except UserError as problem:
        return dict(from_names), [
            error("metadata", METADATA, f"cannot be read ({problem})", "mend or replace it")
        ]
    except OSError:
        if store.exists(CAPTIONS):
            return dict(from_names), []
        return dict(from_names), [
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
            objects = merge_metadata(entries, from_names, METADATA)
    except UserError as problem:
        reason = str(problem).removeprefix(f"{METADATA}: ")
        return dict(from_names), [error("metadata form", METADATA, reason, remedy)]
    problems = []
    for object_id, entry in objects.items():
        if not entry.images and not entry.points:
            problems.append(
                error(
                    "metadata empty",
                    METADATA,
                    f"object {object_id!r} has no images and no points",
                    "name its files, or remove it",
                )
            )
        problems += [
            error("file missing", path, f"is not there, but {METADATA} names it", remedy)
            for path in entry.files
            if path not in files
        ]
    for object_id in from_names.keys() - objects.keys():
        problems.append(
            warning(
                "not in metadata",
                METADATA,
                f"object {object_id!r} has files but is not in it",
                "add it, or remove its files: they are not read",
            )
        )
    return objects, problems


def count_failed(store: Store) -> int:
    """Number of objects in `failed.csv`."""
    try:
        text = store.read_bytes(FAILED).decode("utf-8-sig", "replace")
        return max(0, sum(1 for _ in csv.reader(io.StringIO(text, newline=""))) - 1)
    except (OSError, UserError, csv.Error):
        return 0
