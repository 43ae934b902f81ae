"""The file of an exact gallery: one SQLite database, written whole, never changed in place.

| table | holds |
|---|---|
| `facts` | format, version, encoder, dim as stored, count, checksum of the rows, metric |
| `groups` | what is found: its name and its words |
| `rows` | what each vector is called, belongs to, and its record as JSON |
| `chunks` | the vectors, float32 little-endian, some thousand to a row, each with a checksum |

A file may be a stranger's. It is opened read-only, and only with the very schema that is written
here: a view, a trigger or a generated column would be a program. What it claims is compared with
its size before memory is taken for it.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sqlite3
import sys
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from triform.base.errors import UserError
from triform.base.logging import get_logger
from triform.search.base_gallery import Metric, Record, Vectors, read_metric

logger = get_logger(__name__)

FORMAT, VERSION = "triform-gallery", "2"
ROWS_SCHEMA = """
CREATE TABLE groups (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, words TEXT NOT NULL
);
CREATE TABLE rows (
    n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, grp INTEGER NOT NULL, record TEXT NOT NULL
);
"""
ROWS_SCHEMA_1 = """
CREATE TABLE groups (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE rows (
    n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, grp INTEGER NOT NULL, record TEXT NOT NULL
);
"""
"""The tables of format 1, which had no words (before 2026-11-30)."""
_FILE_SCHEMA = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE chunks (
    first INTEGER PRIMARY KEY, checksum INTEGER NOT NULL, vectors BLOB NOT NULL
);
"""
MAX_DIM = 16_384
"""Numbers of a vector; a block of them is memory even where a file holds one."""
_CHUNK_BYTES = 16 * 2**20
# CROSS JOIN walks the tables in this order, so that rows come as they lie, never sorted first.
_ALL_ROWS = (
    "SELECT n, id, grp, name, words, record FROM rows CROSS JOIN groups ON number = grp ORDER BY n"
)
# Of a file that somebody else may have made: bytes of one value, and of one of the header.
_MAX_VALUE, _MAX_HEADER_VALUE = 2 * _CHUNK_BYTES, 2**16
# SQLite's file format, 1.6: the first page is a leaf of a table, with an entry for each of our
# tables and indexes.
_PAGE_ONE = slice(100, 105)
_LEAF = b"\x0d"
_LIMITS = {
    "SQL_LENGTH": 2**12,
    "COLUMN": 16,
    "EXPR_DEPTH": 10,
    "COMPOUND_SELECT": 2,
    "VDBE_OP": 10_000,
    "ATTACHED": 0,
    "TRIGGER_DEPTH": 1,
}
# Vectors are of length 1.
_MAX_COORDINATE = 1.001

Row = tuple[int, str, int, str, str, str]
"""Number, id, number of its group, name and words of the group, record as JSON."""
Contents = tuple["Header", Iterator[Row], Iterator[Vectors]]


@dataclass(frozen=True)
class Header:
    """What holds for a gallery as a whole; `dim` is the width of its stored vectors."""

    encoder: str
    dim: int
    count: int
    metric: Metric = "cosine"


def record(text: str, location: str) -> Record:
    """A record from its JSON.

    Raises:
        UserError: It is none.
    """
    try:
        found = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise UserError(f"{location}: damaged: a record is no JSON object; build the gallery anew")
    return found


def write(
    path: Path, header: Header, rows: sqlite3.Connection, blocks: Iterable[tuple[int, Vectors]]
) -> None:
    """Write a gallery under a temporary name, sync it and rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise UserError(f"{path}: a folder; name a file for the gallery")
    # An unpredictable name; SQLite takes an empty file for an empty database.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(handle)
    temporary = Path(name)
    try:
        target = sqlite3.connect(temporary, isolation_level=None)
        try:
            # The file is invisible until it is renamed: a journal would protect nothing.
            target.execute("PRAGMA journal_mode = OFF")
            target.execute("PRAGMA synchronous = OFF")
            target.executescript(_FILE_SCHEMA + ROWS_SCHEMA)
            target.execute("BEGIN")
            groups = rows.execute("SELECT number, name, words FROM groups ORDER BY number")
            target.executemany("INSERT INTO groups VALUES (?, ?, ?)", groups)
            checksum = 0
            for row in rows.execute(_ALL_ROWS):
                n, identity, number, _, _, text = row
                target.execute("INSERT INTO rows VALUES (?, ?, ?, ?)", (n, identity, number, text))
                checksum = _add_row(checksum, row)
            for first, vectors in _pieces(blocks):
                data = np.ascontiguousarray(vectors, dtype="<f4").data.cast("B")
                target.execute(
                    "INSERT INTO chunks VALUES (?, ?, ?)", (first, zlib.crc32(data), data)
                )
            fields = {
                "format": FORMAT,
                "version": VERSION,
                "encoder": header.encoder,
                "dim": str(header.dim),
                "count": str(header.count),
                "rows": str(checksum),
                "metric": header.metric,
            }
            target.executemany("INSERT INTO facts VALUES (?, ?)", fields.items())
            target.execute("COMMIT")
        finally:
            target.close()
        os.chmod(temporary, 0o666 & ~_umask())
        _sync(temporary)
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        if isinstance(error, sqlite3.Error):
            raise UserError(f"{path}: cannot be written: {error}") from None
        raise
    with contextlib.suppress(OSError):
        _sync(path.parent)


def version(path: Path) -> str:
    """What changes when the file is replaced; "" where there is none."""
    try:
        status = path.stat()
    except OSError:
        return ""
    return f"{status.st_dev} {status.st_ino} {status.st_size} {status.st_mtime_ns}"


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Keep other processes from using the same gallery meanwhile; may be entered again within.

    The lock is a file beside the gallery, so that all processes mean the same one, whatever their
    cache folder. Where none can be made, the gallery cannot be written either.
    """
    path = Path(os.path.realpath(path))
    name = path.with_name(f".{path.name}.lock")
    lock = FileLock(name, is_singleton=True)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=1)
        except Timeout:
            logger.info("%s: another process is using it, waiting for it to end", path)
            lock.acquire()
    except OSError as error:
        logger.debug("%s: no lock (%s)", path, error)
    try:
        yield
    finally:
        lock.release()


def _pieces(blocks: Iterable[tuple[int, Vectors]]) -> Iterator[tuple[int, Vectors]]:
    """Blocks cut so that none is too large for one value of SQLite."""
    for first, block in blocks:
        rows = max(_CHUNK_BYTES // max(block[:1].nbytes, 1), 1)
        for start in range(0, len(block), rows):
            yield first + start, block[start : start + rows]


def _add_row(checksum: int, row: Row) -> int:
    """The checksum with one more row in it."""
    n, identity, _, name, words, text = row
    return zlib.crc32(f"{n}\0{identity}\0{name}\0{words}\0{text}\n".encode(), checksum)


def _umask() -> int:
    """The rights that new files of this process do not get."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _sync(path: Path) -> None:
    """Make what was written last through a power cut."""
    handle = os.open(path, os.O_RDONLY if path.is_dir() or sys.platform != "win32" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def reading(path: Path) -> Iterator[Contents]:
    """The contents of a gallery's file, checked as they are read.

    Yields:
        Its header; its rows; its vectors in parts. The rows have to be read before the vectors.

    Raises:
        UserError: No such file, not a gallery, or damaged.
    """
    size = _file_size(path)
    try:
        # Read-only: a stranger's file is not changed, and no journal beside it is played back.
        uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None)
        try:
            _set_limits(connection, _MAX_HEADER_VALUE)
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA cell_size_check = ON")
            _check_schema(connection, path)
            header, checksum = _read_header(connection, path, size)
            _set_limits(connection, _MAX_VALUE)
            if (found := connection.execute("PRAGMA quick_check(1)").fetchone()) != ("ok",):
                raise ValueError(str(found[0]) if found else "its check says nothing")
            rows = _read_rows(connection, checksum, path, size)
            yield header, rows, _read_chunks(connection, header, path)
        finally:
            connection.close()
    except (sqlite3.Error, ValueError, TypeError, OverflowError, MemoryError) as error:
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise UserError(f"{path}: damaged ({reason}); build the gallery anew") from None


def _file_size(path: Path) -> int:
    """The size of a gallery's file, whose first page may be read by SQLite.

    Raises:
        UserError: No such file, or not a gallery.
    """
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "no regular file" if path.exists() else "not there"
        raise UserError(f"{path}: {kind}, expected the file of a gallery")
    try:
        with path.open("rb") as file:
            head = file.read(_PAGE_ONE.stop)
            size = file.seek(0, os.SEEK_END)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    if head[:16] != b"SQLite format 3\0":
        raise UserError(f"{path}: damaged, or not the file of a gallery; build it anew")
    # SQLite reads the whole schema before anything can be asked of it.
    entries = int.from_bytes(head[_PAGE_ONE][3:], "big")
    if head[_PAGE_ONE][:1] != _LEAF or entries != len(_schema()):
        raise UserError(f"{path}: a database, but not the file of a gallery")
    return size


def _set_limits(connection: sqlite3.Connection, length: int) -> None:
    """Bounds what a file can make SQLite do; what is over the limits is an error of SQLite."""
    if not hasattr(connection, "setlimit"):  # Python 3.10
        return
    for name, limit in {"LENGTH": length, **_LIMITS}.items():
        connection.setlimit(getattr(sqlite3, f"SQLITE_LIMIT_{name}"), limit)


@functools.cache
def _schema(rows: str = ROWS_SCHEMA) -> frozenset[tuple[str, str, str, str | None]]:
    """Type, name, table and SQL of everything in a gallery's file."""
    with contextlib.closing(sqlite3.connect(":memory:")) as empty:
        empty.executescript(_FILE_SCHEMA + rows)
        return frozenset(empty.execute("SELECT type, name, tbl_name, sql FROM sqlite_master"))


def _check_schema(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse every other schema: views, triggers, generated columns can run code.

    Raises:
        UserError: It is another.
    """
    found = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()
    if set(found) == _schema(ROWS_SCHEMA_1):
        raise UserError(f"{path}: written by an earlier Triform (format 1); build the gallery anew")
    if len(found) != len(_schema()) or set(found) != _schema():
        raise UserError(f"{path}: a database, but not the file of a gallery")


def _read_header(connection: sqlite3.Connection, path: Path, size: int) -> tuple[Header, int]:
    """What the file says about itself, and the checksum of its rows."""
    fields: dict[str, Any] = dict(connection.execute("SELECT name, value FROM facts LIMIT 100"))
    if fields.get("format") != FORMAT:
        raise UserError(f"{path}: a database, but not the file of a gallery")
    if fields.get("version") != VERSION:
        raise UserError(
            f"{path}: format version {fields.get('version')!r}, "
            f"this Triform reads version {VERSION}"
        )
    missing = {"encoder", "dim", "count", "rows"} - fields.keys()
    if missing:
        raise UserError(f"{path}: damaged: {', '.join(sorted(missing))} missing; build it anew")
    header = Header(
        str(fields["encoder"]),
        int(fields["dim"]),
        int(fields["count"]),
        read_metric(fields.get("metric", "cosine"), str(path)),
    )
    if not 0 <= header.dim <= MAX_DIM or not 0 <= 4 * header.dim * header.count <= size:
        raise UserError(
            f"{path}: damaged: a file of {size:,} bytes says that it holds "
            f"{str(header.count)[:20]} vectors of {str(header.dim)[:20]} numbers"
        )
    return header, int(fields["rows"])


def _read_rows(
    connection: sqlite3.Connection, checksum: int, path: Path, size: int
) -> Iterator[Row]:
    actual = length = 0
    for expected, row in enumerate(connection.execute(_ALL_ROWS)):
        n, identity, _, name, words, text = row
        if n != expected:
            raise UserError(f"{path}: damaged: row {expected} is missing; build the gallery anew")
        # Pages of a damaged file may be in several values.
        length += len(identity) + len(text)
        # The words of a group come with each of its rows.
        if len(name) + len(words) > size:
            length = size + 1
        if length > size:
            raise UserError(f"{path}: damaged: its rows are longer than it is")
        actual = _add_row(actual, row)
        yield row
    if actual != checksum:
        raise UserError(f"{path}: damaged: its rows do not match their checksum; build it anew")


def _read_chunks(connection: sqlite3.Connection, header: Header, path: Path) -> Iterator[Vectors]:
    done = 0
    for first, checksum, data in connection.execute("SELECT * FROM chunks ORDER BY first"):
        count = len(data) // max(4 * header.dim, 1)
        if (
            zlib.crc32(data) != checksum
            or len(data) != 4 * header.dim * count
            or first != done
            or not 0 < count <= header.count - done
        ):
            raise UserError(
                f"{path}: damaged: vectors from {first} on do not match their checksum; "
                "build the gallery anew"
            )
        done += count
        vectors = np.frombuffer(data, dtype="<f4").reshape(-1, header.dim)
        # Written as false, since NaN is neither.
        if not (np.abs(vectors) <= _MAX_COORDINATE).all():
            raise UserError(f"{path}: damaged: vectors from {first} on are not of length 1")
        yield vectors.astype(np.float32, copy=False)
