"""The file of an exact gallery: a SQLite database of rows, vectors behind it, and what was added.

| part | holds |
|---|---|
| table `facts` | format, version, encoder, dim as stored, count, metric, checksums |
| table `groups` | what is found: its name and its words |
| table `rows` | what each vector is called, belongs to, and its record as JSON |
| behind the database | its vectors, float32 little-endian |
| behind them | a segment for each save that only added something (`segments.py`) |

Database and vectors are written whole and never changed in place. Vectors are mapped into memory,
not read into it. Files of format 2 (before 2026-12-01) have their vectors in a table `chunks`; they
are read, and written in this format when they are saved.

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
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from triform.base.errors import UserError
from triform.base.logging import get_logger
from triform.search.base_gallery import Metric, Record, Vectors, read_metric
from triform.search.row_table import ALL_ROWS, ROWS_SCHEMA, Row, read_only_uri
from triform.search.segments import Segment, checked_vectors, read_segments

logger = get_logger(__name__)

FORMAT, VERSION, CHUNKS_VERSION = "triform-gallery", "3", "2"
ROWS_SCHEMA_1 = """
CREATE TABLE groups (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE rows (
    n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, grp INTEGER NOT NULL, record TEXT NOT NULL
);
"""
"""The tables of format 1, which had no words (before 2026-11-30)."""
HEADER_SCHEMA = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
_CHUNKS_SCHEMA = """
CREATE TABLE chunks (
    first INTEGER PRIMARY KEY, checksum INTEGER NOT NULL, vectors BLOB NOT NULL
);
"""
MAX_DIM = 16_384
"""Numbers of a vector; a block of them is memory even where a file holds one."""
_CHUNK_BYTES = 16 * 2**20
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
ROWS_AT_ONCE = 1000


@dataclass(frozen=True)
class Header:
    """What holds for a gallery as a whole; `dim` is the width of its stored vectors."""

    encoder: str
    dim: int
    count: int
    metric: Metric = "cosine"


@dataclass(frozen=True)
class Contents:
    """What a file holds, checked as it is read.

    Attributes:
        header: `count` without what was added.
        database: Its tables, read-only.
        rows: Its rows.
        vectors: Its vectors in parts.
        segments: What was added.
        end: Where the next segment begins; 0 where the file has to be written whole.
    """

    header: Header
    database: sqlite3.Connection
    rows: Iterator[Row]
    vectors: Iterator[Vectors]
    segments: list[Segment]
    end: int


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


def version(path: Path) -> str:
    """What changes when the file is replaced; "" where there is none."""
    try:
        status = path.stat()
    except OSError:
        return ""
    return f"{status.st_dev} {status.st_ino} {status.st_size} {status.st_mtime_ns}"


def all_records(texts: Mapping[str, str], location: str) -> dict[str, Record]:
    """Id -> record, from id -> its JSON; parsed together, which is twice as fast.

    Raises:
        UserError: One of them is none.
    """
    try:
        found = json.loads(f"[{','.join(texts.values())}]")
    except (ValueError, RecursionError):
        found = []
    if len(found) == len(texts) and all(isinstance(one, dict) for one in found):
        return dict(zip(texts, found, strict=True))
    return {name: record(text, location) for name, text in texts.items()}


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


def rows_checksum(checksum: int, rows: Sequence[Row]) -> int:
    """The checksum with more rows in it."""
    lines = [
        f"{n}\0{identity}\0{name}\0{words}\0{text}\n" for n, identity, _, name, words, text in rows
    ]
    return zlib.crc32("".join(lines).encode(), checksum)


@contextlib.contextmanager
def reading(path: Path) -> Iterator[Contents]:
    """The contents of a gallery's file.

    Raises:
        UserError: No such file, not a gallery, or damaged.
    """
    size = _file_size(path)
    try:
        # Read-only: a stranger's file is not changed, and no journal beside it is played back.
        connection = sqlite3.connect(read_only_uri(path), uri=True, isolation_level=None)
        try:
            _set_limits(connection, _MAX_HEADER_VALUE)
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA cell_size_check = ON")
            has_chunks = _check_schema(connection, path)
            header, fields = _read_header(connection, path, size, has_chunks=has_chunks)
            _set_limits(connection, _MAX_VALUE)
            # With the indexes, which are used as they are.
            if (found := connection.execute("PRAGMA integrity_check(1)").fetchone()) != ("ok",):
                raise ValueError(str(found[0]) if found else "its check says nothing")
            rows = _read_rows(connection, int(fields["rows"]), path, size)
            if has_chunks:
                yield Contents(
                    header, connection, rows, _read_chunks(connection, header, path), [], 0
                )
            else:
                data, start = _mapped(path), _database_bytes(connection)
                end = start + 4 * header.dim * header.count
                if end > len(data):
                    raise ValueError("vectors are missing")
                segments, stop = read_segments(data, end, header.dim, path)
                vectors = _read_vectors(data[start:end], header.dim, int(fields["vectors"]))
                yield Contents(header, connection, rows, vectors, segments, stop)
        finally:
            connection.close()
    except (
        *(sqlite3.Error, ValueError, TypeError, KeyError, OverflowError, MemoryError),
        RecursionError,
    ) as error:
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise UserError(f"{path}: damaged ({reason}); build the gallery anew") from None


def _mapped(path: Path) -> NDArray[np.uint8]:
    """The bytes of a file, which stay as they are when it is replaced."""
    if sys.platform == "win32":  # where a file that is mapped cannot be replaced
        return np.fromfile(path, np.uint8)
    return np.asarray(np.memmap(path, np.uint8, mode="r"))


def _database_bytes(connection: sqlite3.Connection) -> int:
    """Length of the database at the beginning of a file."""
    (page_size,) = connection.execute("PRAGMA page_size").fetchone()
    (page_count,) = connection.execute("PRAGMA page_count").fetchone()
    return int(page_size) * int(page_count)


def _read_vectors(data: NDArray[np.uint8], dim: int, checksum: int) -> Iterator[Vectors]:
    """Vectors, in one part, once they are asked for."""
    if len(data):
        yield checked_vectors(data, dim, checksum)


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
    if head[_PAGE_ONE][:1] != _LEAF or entries not in map(len, _schemas()):
        raise UserError(f"{path}: a database, but not the file of a gallery")
    return size


def _set_limits(connection: sqlite3.Connection, length: int) -> None:
    """Bounds what a file can make SQLite do; what is over the limits is an error of SQLite."""
    if not hasattr(connection, "setlimit"):  # Python 3.10
        return
    for name, limit in {"LENGTH": length, **_LIMITS}.items():
        connection.setlimit(getattr(sqlite3, f"SQLITE_LIMIT_{name}"), limit)


@functools.cache
def _schemas() -> tuple[frozenset[tuple[str, str, str, str | None]], ...]:
    """Type, name, table and SQL of everything in a file of format 3, 2 and 1."""
    schemas = []
    for texts in (
        HEADER_SCHEMA + ROWS_SCHEMA,
        HEADER_SCHEMA + _CHUNKS_SCHEMA + ROWS_SCHEMA,
        HEADER_SCHEMA + _CHUNKS_SCHEMA + ROWS_SCHEMA_1,
    ):
        with contextlib.closing(sqlite3.connect(":memory:")) as empty:
            empty.executescript(texts)
            found = empty.execute("SELECT type, name, tbl_name, sql FROM sqlite_master")
            schemas.append(frozenset(found))
    return tuple(schemas)


def _check_schema(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether vectors are in chunks; every schema but ours is refused.

    Views, triggers and generated columns can run code.

    Raises:
        UserError: It is another.
    """
    found = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()
    current, _, without_words = _schemas()
    if len(found) != len(set(found)) or set(found) not in _schemas():
        raise UserError(f"{path}: a database, but not the file of a gallery")
    if set(found) == without_words:
        raise UserError(f"{path}: written by an earlier Triform (format 1); build the gallery anew")
    return set(found) != current


def _read_header(
    connection: sqlite3.Connection, path: Path, size: int, *, has_chunks: bool
) -> tuple[Header, dict[str, Any]]:
    """What the file says about itself: read, and as it stands there."""
    fields: dict[str, Any] = dict(connection.execute("SELECT name, value FROM facts LIMIT 100"))
    if fields.get("format") != FORMAT:
        raise UserError(f"{path}: a database, but not the file of a gallery")
    if fields.get("version") != (CHUNKS_VERSION if has_chunks else VERSION):
        raise UserError(
            f"{path}: format version {fields.get('version')!r}, "
            f"this Triform reads versions {CHUNKS_VERSION} and {VERSION}"
        )
    needed = {"encoder", "dim", "count", "rows", *(() if has_chunks else ("vectors",))}
    missing = needed - fields.keys()
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
    return header, fields


def _read_rows(
    connection: sqlite3.Connection, checksum: int, path: Path, size: int
) -> Iterator[Row]:
    actual = length = expected = 0
    found = connection.execute(ALL_ROWS)
    while some := found.fetchmany(ROWS_AT_ONCE):
        numbers, ids, _, names, words, texts = zip(*some, strict=True)
        for n, number in enumerate(numbers, expected):
            if n != number:
                raise UserError(f"{path}: damaged: row {n} is missing; build the gallery anew")
        expected += len(some)
        # Pages of a damaged file may be in several values.
        length += sum(map(len, ids)) + sum(map(len, texts))
        # The words of a group come with each of its rows.
        if length > size or max(map(len, names)) + max(map(len, words)) > size:
            raise UserError(f"{path}: damaged: its rows are longer than it is")
        actual = rows_checksum(actual, some)
        yield from some
    if actual != checksum:
        raise UserError(f"{path}: damaged: its rows do not match their checksum; build it anew")


def _read_chunks(connection: sqlite3.Connection, header: Header, path: Path) -> Iterator[Vectors]:
    """Vectors of format 2."""
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
        yield checked_vectors(np.frombuffer(data, np.uint8), header.dim)
