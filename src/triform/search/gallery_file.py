"""The file of an exact gallery: one SQLite database, written whole, never changed in place.

| table | holds |
|---|---|
| `facts` | format, version, encoder, dim, count, checksum of the rows |
| `groups`, `rows` | what each vector is called, belongs to, and its record as JSON |
| `chunks` | the vectors, float32 little-endian, some thousand to a row, each with a checksum |
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import sys
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from triform.base.errors import UserError
from triform.search.gallery import Record, Vectors

FORMAT, VERSION = "triform-gallery", "1"
ROWS_SCHEMA = """
CREATE TABLE groups (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE rows (
    n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, grp INTEGER NOT NULL, record TEXT NOT NULL
);
"""
_FILE_SCHEMA = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE chunks (
    first INTEGER PRIMARY KEY, checksum INTEGER NOT NULL, vectors BLOB NOT NULL
);
"""
_TABLES = {"facts", "groups", "rows", "chunks"}
_LARGEST_DIM = 1_000_000
_CHUNK_BYTES = 16 * 2**20
_ALL_ROWS = "SELECT n, id, grp, name, record FROM rows JOIN groups ON number = grp ORDER BY n"

Contents = tuple["Facts", Iterator[tuple[int, str, int, str, str]], Iterator[Vectors]]


@dataclass(frozen=True)
class Facts:
    """What is said about a gallery as a whole."""

    encoder: str
    dim: int
    count: int


def record(text: str) -> Record:
    """A record from its JSON."""
    found: Record = json.loads(text)
    return found


def write(
    path: Path, facts: Facts, rows: sqlite3.Connection, blocks: Iterable[tuple[int, Vectors]]
) -> None:
    """Write a gallery under a temporary name, sync it and rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise UserError(f"{path}: a folder; name a file for the gallery")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    try:
        target = sqlite3.connect(temporary, isolation_level=None)
        try:
            # Until it is renamed nobody else sees the file: a journal would protect nothing.
            target.execute("PRAGMA journal_mode = OFF")
            target.execute("PRAGMA synchronous = OFF")
            target.executescript(_FILE_SCHEMA + ROWS_SCHEMA)
            target.execute("BEGIN")
            target.executemany("INSERT INTO groups VALUES (?, ?)", rows.execute(
                "SELECT number, name FROM groups ORDER BY number"
            ))  # fmt: skip
            checksum = 0
            for n, identity, number, name, text in rows.execute(_ALL_ROWS):
                target.execute("INSERT INTO rows VALUES (?, ?, ?, ?)", (n, identity, number, text))
                checksum = _add_row(checksum, n, identity, name, text)
            for first, vectors in _pieces(blocks):
                data = np.ascontiguousarray(vectors, dtype="<f4").data.cast("B")
                target.execute(
                    "INSERT INTO chunks VALUES (?, ?, ?)", (first, zlib.crc32(data), data)
                )
            said = {
                "format": FORMAT, "version": VERSION, "encoder": facts.encoder,
                "dim": str(facts.dim), "count": str(facts.count), "rows": str(checksum),
            }  # fmt: skip
            target.executemany("INSERT INTO facts VALUES (?, ?)", said.items())
            target.execute("COMMIT")
        finally:
            target.close()
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


def _pieces(blocks: Iterable[tuple[int, Vectors]]) -> Iterator[tuple[int, Vectors]]:
    """Blocks cut so that none is too large for one value of SQLite."""
    for first, block in blocks:
        rows = max(_CHUNK_BYTES // max(block[:1].nbytes, 1), 1)
        for start in range(0, len(block), rows):
            yield first + start, block[start : start + rows]


def _add_row(checksum: int, n: int, identity: str, name: str, text: str) -> int:
    """The checksum with one more row in it."""
    return zlib.crc32(f"{n}\0{identity}\0{name}\0{text}\n".encode(), checksum)


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
        Its facts; its rows (number, id, group's number, group, record as JSON); its vectors in
        parts. The rows have to be read before the vectors.

    Raises:
        UserError: No such file, not a gallery, or damaged.
    """
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "not there"
        raise UserError(f"{path}: {kind}, expected the file of a gallery")
    with path.open("rb") as file:
        if file.read(16) != b"SQLite format 3\0":
            raise UserError(f"{path}: damaged, or not the file of a gallery; build it anew")
    try:
        # Read-only: a stranger's file is not changed, and no journal beside it is played back.
        uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None)
        try:
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA cell_size_check = ON")
            facts, checksum = _read_facts(connection, path)
            rows = _read_rows(connection, checksum, path)
            yield facts, rows, _read_chunks(connection, facts, path)
        finally:
            connection.close()
    except (sqlite3.Error, ValueError, TypeError, OverflowError) as error:
        reason = " ".join(str(error).split())[:100]
        raise UserError(f"{path}: damaged ({reason}); build the gallery anew") from None


def _read_facts(connection: sqlite3.Connection, path: Path) -> tuple[Facts, int]:
    """What the file says about itself, and the checksum of its rows."""
    found = connection.execute("SELECT type, name FROM sqlite_master").fetchall()
    # A view or a trigger would be somebody else's program.
    if {name for kind, name in found if kind != "index"} != _TABLES or not all(
        kind in ("table", "index") for kind, _ in found
    ):
        raise UserError(f"{path}: a database, but not the file of a gallery")
    said: dict[str, Any] = dict(connection.execute("SELECT name, value FROM facts LIMIT 100"))
    if said.get("format") != FORMAT:
        raise UserError(f"{path}: a database, but not the file of a gallery")
    if said.get("version") != VERSION:
        raise UserError(
            f"{path}: format version {said.get('version')!r}, this Triform reads version {VERSION}"
        )
    missing = {"encoder", "dim", "count", "rows"} - said.keys()
    if missing:
        raise UserError(f"{path}: damaged: {', '.join(sorted(missing))} missing; build it anew")
    facts = Facts(str(said["encoder"]), int(said["dim"]), int(said["count"]))
    if not 0 <= facts.dim <= _LARGEST_DIM or facts.count < 0:
        raise UserError(f"{path}: damaged: {facts.count} vectors of {facts.dim} numbers")
    return facts, int(said["rows"])


def _read_rows(
    connection: sqlite3.Connection, checksum: int, path: Path
) -> Iterator[tuple[int, str, int, str, str]]:
    seen = 0
    for expected, row in enumerate(connection.execute(_ALL_ROWS)):
        n, identity, number, name, text = row
        if n != expected:
            raise UserError(f"{path}: damaged: row {expected} is missing; build the gallery anew")
        seen = _add_row(seen, n, identity, name, text)
        yield n, identity, number, name, text
    if seen != checksum:
        raise UserError(f"{path}: damaged: its rows do not match their checksum; build it anew")


def _read_chunks(connection: sqlite3.Connection, facts: Facts, path: Path) -> Iterator[Vectors]:
    for first, checksum, data in connection.execute("SELECT * FROM chunks ORDER BY first"):
        if zlib.crc32(data) != checksum or len(data) % max(4 * facts.dim, 1):
            raise UserError(
                f"{path}: damaged: vectors from {first} on do not match their checksum; "
                "build the gallery anew"
            )
        vectors = np.frombuffer(data, dtype="<f4").reshape(-1, facts.dim)
        yield vectors.astype(np.float32, copy=False)
