"""Results of the command line, for the page History: records in the named folders.

A record says what a command wrote (`base/settings/command_record.py`). It may come from anybody:
it is read as bounded JSON, its texts are set as text, and of its files only images, meshes, videos
and tables beside it are sent, never a hidden one and never through a link.
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from triform.base.errors import UsageError, UserError
from triform.base.plain_data import read_json
from triform.base.printable import printable, shorten
from triform.base.settings.command_record import FOLDER, CommandRecord
from triform.base.settings.flags import FlagTable
from triform.base.settings.path_role import Output, Storage, path_role
from triform.web.access import Access
from triform.web.forms import HIDDEN, form
from triform.web.record import KINDS, Record, ResultFile
from triform.web.requests import DATASET, read_request
from triform.web.results import NoSuchResult, is_regular

PREFIX = "command-"
FILE = re.compile(r"\d{8}-\d{6}-[0-9a-f]{8}\.json")
MAX_RECORDS = 1000
"""Records of one folder that are read, the newest."""
MAX_BYTES = 500_000
FRESH_SECONDS = 2.0
"""Time for which the folders are not looked at again."""
REPEATED = ("switch", "slider", "number", "choice", "text", "line", "environment")
"""Kinds of settings that a page can send again as they are; others name files of that time."""


@dataclass(frozen=True)
class _Found:
    """A record on disk.

    Attributes:
        record: What the page shows; its files are not yet looked for.
        folder: The folder that holds `.triform`.
    """

    record: Record
    folder: Path


class CommandResults:
    """Records of commands in the named folders and the folders in them.

    Args:
        access: Knows the folders.
        pages: Page -> its verbs, of `verbs_by_page`.
    """

    def __init__(self, access: Access, pages: Mapping[str, list[dict[str, Any]]]):
        self._access = access
        self._pages = {
            (row["system"], row["verb"]): page for page, rows in pages.items() for row in rows
        }
        self._lock = threading.Lock()
        self._versions: dict[Path, tuple[tuple[int, int], Record | None]] = {}
        self._found: dict[str, _Found] = {}
        self._time = -FRESH_SECONDS

    def all(self) -> list[Record]:
        """All records, the newest first, with the files that they name."""
        with self._lock:
            self._refresh()
            found = [each.record for each in self._found.values()]
        return sorted(found, key=lambda record: (record.created, record.id), reverse=True)

    def get(self, name: str) -> Record:
        """A record with those of its files that are there as they were written.

        Raises:
            NoSuchResult: There is none.
        """
        found = self._get(name)
        files = tuple(file for file in found.record.files if _path(found.folder, file) is not None)
        return found.record.model_copy(update={"files": files})

    def file(self, name: str, path: str) -> Path:
        """A file of a record by its listed name.

        Raises:
            NoSuchResult: It is not listed, or not there any more.
        """
        found = self._get(name)
        file = next((each for each in found.record.files if each.name == path), None)
        target = _path(found.folder, file) if file is not None else None
        if target is None:
            raise NoSuchResult(f"no file {path[:60]!r} in result {name}")
        return target

    def image(self, record: Record) -> str:
        """Name of the first image of a record; empty if there is none."""
        folder = self._get(record.id).folder
        images = (file for file in record.files if file.kind == "image")
        return next((file.name for file in images if _path(folder, file) is not None), "")

    def _get(self, name: str) -> _Found:
        with self._lock:
            self._refresh()
            if name not in self._found:
                raise NoSuchResult(f"no result {name[:60]!r}; its record may have been deleted")
            return self._found[name]

    def _refresh(self) -> None:
        """Look for new records; files of a record that a newer one names too are not its own."""
        if not self._access.folders or time.monotonic() - self._time < FRESH_SECONDS:
            return
        versions, found = {}, []
        for reference, path in self._paths():
            if path in versions:
                continue  # a named folder in a named folder
            status = path.stat()
            version = status.st_mtime_ns, status.st_ino
            known = self._versions.get(path)
            record = known[1] if known and known[0] == version else self._read(path, reference)
            versions[path] = version, record
            if record is not None:
                found.append(_Found(record, path.parent.parent))
        owned: set[Path] = set()
        self._found = {}
        for each in sorted(found, key=lambda one: one.record.created, reverse=True):
            files = [file for file in each.record.files if each.folder / file.name not in owned]
            owned |= {each.folder / file.name for file in files}
            record = each.record.model_copy(update={"files": tuple(files)})
            self._found[record.id] = _Found(record, each.folder)
        self._versions, self._time = versions, time.monotonic()

    def _paths(self) -> Iterator[tuple[str, Path]]:
        """Reference of a folder, and each record in it."""
        for name in self._access.subfolders():
            try:
                folder = self._access.resolve(f"folder:{name}") / FOLDER
                if folder.is_symlink() or not folder.is_dir():
                    continue
                paths = sorted(path for path in folder.iterdir() if FILE.fullmatch(path.name))
            except (OSError, UsageError):
                continue
            yield from ((name, path) for path in paths[-MAX_RECORDS:] if is_regular(path))

    def _read(self, path: Path, reference: str) -> Record | None:
        """A record as pages show it; None for a file that is none."""
        try:
            record = CommandRecord.model_validate(read_json(path, MAX_BYTES))
        except (UserError, ValueError):
            return None
        settings, is_repeatable = repeatable_settings(record)
        named = f"{reference}/{path.name}"
        return Record(
            id=f"{PREFIX}{hashlib.sha256(named.encode()).hexdigest()[:24]}",
            state="done",
            system=printable(record.system),
            verb=printable(record.verb),
            page=self._pages.get((record.system, record.verb), ""),
            settings=settings,
            is_repeatable=is_repeatable,
            title=_title(record, settings),
            seed=record.seed,
            command=printable(record.command),
            created=record.started,
            started=record.started,
            finished=record.finished,
            answer=record.answer,
            files=tuple(_listed_files(record)),
            origin=reference,
        )


def repeatable_settings(record: CommandRecord) -> tuple[dict[str, Any], bool]:
    """Settings that a page can send again, and whether they are all that matter.

    Those that name files of that time, such as images or a checkpoint, are left out.
    """
    try:
        settings_class = read_request(record.system, record.verb, {}).settings_class
    except UserError:
        return {}, False
    kinds = {each["name"]: each["kind"] for each in form(settings_class)}
    roles = {".".join(flag.path): path_role(flag.field) for flag in FlagTable(settings_class).flags}
    repeatable, is_whole = {}, True
    for name, value in record.settings.items():
        kind, leaf = kinds.get(name), name.rpartition(".")[2]
        texts = value if isinstance(value, list) else [value]
        is_name = all(isinstance(text, str) and DATASET.fullmatch(text) for text in texts)
        if kind in REPEATED or (kind in ("dataset", "gallery") and is_name):
            repeatable[name] = value
        elif leaf not in (*HIDDEN, "format") and not isinstance(roles.get(name), Output | Storage):
            is_whole = False
    try:
        read_request(record.system, record.verb, repeatable)
    except UserError:
        return {}, False
    return repeatable, is_whole


def _title(record: CommandRecord, settings: Mapping[str, Any]) -> str:
    """A few words to know the result by."""
    words = ""
    if settings:
        words = read_request(record.system, record.verb, settings).title
    inputs = record.settings.get("images") or record.settings.get("query")
    if not words and isinstance(inputs, list):
        words = ", ".join(PurePosixPath(str(each)).name for each in inputs)
    return shorten(printable(words or f"{record.system} {record.verb}"), 80)


def _listed_files(record: CommandRecord) -> Iterator[ResultFile]:
    """Files of a record that may be shown, by their names alone."""
    for file in record.files:
        path = PurePosixPath(file.name)
        kind = KINDS.get(path.suffix.lower())
        is_plain = file.name == path.as_posix() and not path.is_absolute() and "\\" not in file.name
        is_hidden = any(part.startswith(".") for part in path.parts)  # `..` too
        if kind is not None and is_plain and not is_hidden and "\0" not in file.name:
            yield ResultFile(name=file.name, kind=kind, bytes=file.bytes)


def _path(folder: Path, file: ResultFile) -> Path | None:
    """Where a file lies; None if it is gone, has changed its size, or a link is on the way."""
    path = folder / file.name
    try:
        is_here = is_regular(path) and path.resolve() == folder.resolve() / file.name
        return path if is_here and path.stat().st_size == file.bytes else None
    except OSError:
        return None
