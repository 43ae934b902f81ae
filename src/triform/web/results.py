"""Results on disk: a folder for each job, which outlives the server.

RESULTS/20260131-120000-0123abcd/
  result.json  settings.yaml  thumbnail.webp  inputs/  files/

Only the server writes `result.json`, always as a whole; a job writes into `files`. A server that
is killed leaves jobs that are neither ended nor running: the next one marks them.
"""

from __future__ import annotations

import re
import secrets
import shutil
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from triform.base.errors import UserError
from triform.base.files import atomic_write
from triform.base.logging import get_logger
from triform.base.plain_data import read_json
from triform.web.record import KINDS, Record, ResultFile

logger = get_logger(__name__)

ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{8}")
MAX_FILES = 2000
"""Files of one result that are listed."""
MAX_RECORD_BYTES = 4_000_000
INTERRUPTED = "the server ended before this job did; what it had written is kept"


class NoSuchResult(UserError):
    """There is no result with this id, or no such file in it."""


class ResultStore:
    """The folder of the results, and their records in memory.

    Attributes:
        root: The folder.
        skipped: Folders whose record cannot be read.

    Raises:
        UserError: Another server uses the folder, or it cannot be written.
    """

    def __init__(self, root: Path):
        self.root = root.absolute()
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self._lock_file = FileLock(self.root / ".lock")
            self._lock_file.acquire(timeout=0)
        except Timeout:
            raise UserError(
                f"--results {root}: another `triform serve` uses this folder; name another one"
            ) from None
        except OSError as error:
            raise UserError(f"--results {root}: cannot be written: {error.strerror}") from error
        self._lock = threading.Lock()
        self._records: dict[str, Record] = {}
        self.skipped: list[str] = []
        self._read_all()

    def close(self) -> None:
        """Let another server use the folder."""
        self._lock_file.release()

    def _read_all(self) -> None:
        """Read all records; mark those that were not ended."""
        for folder in sorted(self.root.iterdir()):
            if not ID.fullmatch(folder.name):
                continue
            try:
                content = read_json(folder / "result.json", MAX_RECORD_BYTES)
                record = Record.model_validate(content)
                if record.id != folder.name:
                    raise ValueError("the record of another folder")
            except (UserError, ValueError):
                self.skipped.append(folder.name)
                continue
            self._records[record.id] = record
            for unfinished in folder.glob(".result.json.*.part"):  # a server was killed writing it
                unfinished.unlink(missing_ok=True)
            if not record.is_ended:
                files = tuple(list_files(folder / "files"))
                changes = {"state": "interrupted", "error": INTERRUPTED, "files": files}
                self.update(record.id, **changes)
        if self.skipped:
            count = len(self.skipped)
            logger.warning("%s: %d results cannot be read and are left out", self.root, count)

    def create(self, **values: Any) -> Record:
        """Make the folder of a new job and write its record."""
        stamp = time.strftime("%Y%m%d-%H%M%S")
        record = Record(id=f"{stamp}-{secrets.token_hex(4)}", **values)
        for name in ("files", "inputs"):
            (self.root / record.id / name).mkdir(parents=True)
        self._write(record)
        return record

    def update(self, name: str, **changes: Any) -> Record:
        """Change a record, in memory and on disk.

        Raises:
            NoSuchResult: It was deleted meanwhile.
        """
        with self._lock:
            record = self._get(name).model_copy(update=changes)
            self._records[name] = record
        self._write(record)
        return record

    def _write(self, record: Record) -> None:
        with self._lock:
            self._records[record.id] = record
        with atomic_write(self.root / record.id / "result.json", "w") as file:
            file.write(record.model_dump_json(indent=1))

    def get(self, name: str) -> Record:
        """The record of a result.

        Raises:
            NoSuchResult: There is none.
        """
        with self._lock:
            return self._get(name)

    def _get(self, name: str) -> Record:
        if name not in self._records:
            raise NoSuchResult(f"no result {name[:60]!r}; it may have been deleted")
        return self._records[name]

    def all(self) -> list[Record]:
        """All records, the newest first."""
        with self._lock:
            records = list(self._records.values())
        return sorted(records, key=lambda record: (record.created, record.id), reverse=True)

    def folder(self, name: str) -> Path:
        """The folder of a result.

        Raises:
            NoSuchResult: There is none.
        """
        return self.root / self.get(name).id

    def file(self, name: str, path: str) -> Path:
        """A file of a result by its listed name.

        Raises:
            NoSuchResult: It is not among the files of the record, or no regular file any more.
        """
        record = self.get(name)
        if path not in {each.name for each in record.files}:
            raise NoSuchResult(f"no file {path[:60]!r} in result {name}")
        target = self.root / record.id / "files" / path
        if not is_regular(target):
            raise NoSuchResult(f"{path[:60]!r} of result {name} is gone")
        return target

    def input(self, name: str, file: str) -> Path:
        """A file that was uploaded for a job, of which its folder has a copy.

        Raises:
            NoSuchResult: There is none.
        """
        folder = self.folder(name) / "inputs"
        if file not in {path.name for path in folder.iterdir() if is_regular(path)}:
            raise NoSuchResult(f"no file {file[:60]!r} was sent for result {name}")
        return folder / file

    def delete(self, name: str) -> None:
        """Delete a result that is ended.

        Raises:
            NoSuchResult: There is none.
            UserError: It is not ended.
        """
        with self._lock:
            if not self._get(name).is_ended:
                raise UserError(f"result {name}: its job is not ended; stop it first")
            del self._records[name]
        # Renamed first: a folder that is half deleted is no result.
        trash = self.root / f".deleted-{name}"
        (self.root / name).rename(trash)
        shutil.rmtree(trash, ignore_errors=True)


def list_files(folder: Path) -> Iterator[ResultFile]:
    """Regular files below a folder, by name; links and hidden files are left out."""
    if not folder.is_dir():
        return
    count = 0
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if any(part.startswith(".") for part in relative.parts) or not is_regular(path):
            continue
        count += 1
        if count > MAX_FILES:
            logger.warning("%s: more than %d files; the rest is not listed", folder, MAX_FILES)
            return
        kind = KINDS.get(path.suffix.lower(), "other")
        yield ResultFile(name=relative.as_posix(), kind=kind, bytes=path.stat().st_size)


def is_regular(path: Path) -> bool:
    """Whether a path is a regular file and no link."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False
