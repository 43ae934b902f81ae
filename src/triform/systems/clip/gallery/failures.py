"""The table of files that cannot be read, beside the index: `photos.failed.csv`."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from triform.base.csv_file import csv_text
from triform.base.errors import UserError
from triform.base.files import atomic_write, read_regular
from triform.base.printable import printable
from triform.datasets.images.photos.scan import PhotoFile

HEADER = ("file", "reason", "key")
_LARGEST = 2**28


@dataclass(frozen=True)
class Failure:
    """A file that cannot be read.

    Attributes:
        file: Its path as it is shown.
        reason: Why.
        key: Changes with the file.
    """

    file: str
    reason: str
    key: str

    @classmethod
    def of(cls, file: PhotoFile, reason: str) -> Failure:
        """The failure of a file."""
        return cls(printable(file.path), printable(reason), failure_key(file))


def failure_key(file: PhotoFile) -> str:
    """Digest of path, size and time: the same attempt is not repeated."""
    text = f"{file.path}\0{file.size}\0{file.modified}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def failures_path(index: Path) -> Path:
    """The table of an index."""
    return index.with_suffix(".failed.csv")


def read_failures(path: Path) -> dict[str, Failure]:
    """Key -> failure, of a table; empty where there is none or it is another file."""
    if not path.exists():
        return {}
    try:
        text = read_regular(path, _LARGEST).decode()
        rows = list(csv.reader(io.StringIO(text, newline="")))
    except (UserError, UnicodeDecodeError, csv.Error):
        return {}
    return {row[2]: Failure(*row) for row in rows[1:] if len(row) == len(HEADER)}


def write_failures(path: Path, failures: Iterable[Failure]) -> None:
    """Write the table, or remove it where there are no failures."""
    rows = sorted((each.file, each.reason, each.key) for each in failures)
    if not rows:
        path.unlink(missing_ok=True)
        return
    with atomic_write(path, "w") as file:
        file.write(csv_text([HEADER, *rows], report=False))
