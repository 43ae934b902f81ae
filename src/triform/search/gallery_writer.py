"""Writes the file of an exact gallery whole (`gallery_file.py` says what it holds)."""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
import sys
import tempfile
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from triform.base.errors import UserError
from triform.search.base_gallery import Vectors
from triform.search.gallery_file import (
    FORMAT,
    HEADER_SCHEMA,
    ROWS_AT_ONCE,
    VERSION,
    Header,
    rows_checksum,
)
from triform.search.row_table import ROWS_SCHEMA, write_tables


def write_gallery(
    path: Path, header: Header, rows: sqlite3.Connection, blocks: Iterable[tuple[int, Vectors]]
) -> int:
    """Write a gallery under a temporary name, sync it and rename it; returns its length."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise UserError(f"{path}: a folder; name a file for the gallery")
    # An unpredictable name; SQLite takes an empty file for an empty database.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(handle)
    temporary = Path(name)
    parts = [np.ascontiguousarray(block, dtype="<f4") for _, block in blocks]
    try:
        _write_database(temporary, header, rows, parts)
        with temporary.open("ab") as file:
            for part in parts:
                file.write(part.data)
            length = file.tell()
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        if isinstance(error, sqlite3.Error):
            raise UserError(f"{path}: cannot be written: {error}") from None
        raise
    with contextlib.suppress(OSError):
        _sync(path.parent)
    return length


def _write_database(
    path: Path, header: Header, rows: sqlite3.Connection, parts: Iterable[Vectors]
) -> None:
    """Write all but the vectors."""
    target = sqlite3.connect(path, isolation_level=None)
    try:
        # The file is invisible until it is renamed: a journal would protect nothing.
        target.execute("PRAGMA journal_mode = OFF")
        target.execute("PRAGMA synchronous = OFF")
        target.executescript(HEADER_SCHEMA + ROWS_SCHEMA)
        target.execute("BEGIN")
        of_rows = of_vectors = 0
        written = write_tables(rows, target)
        while some := list(itertools.islice(written, ROWS_AT_ONCE)):
            of_rows = rows_checksum(of_rows, some)
        for part in parts:
            of_vectors = zlib.crc32(part.data, of_vectors)
        fields = {
            "format": FORMAT,
            "version": VERSION,
            "encoder": header.encoder,
            "dim": str(header.dim),
            "count": str(header.count),
            "rows": str(of_rows),
            "vectors": str(of_vectors),
            "metric": header.metric,
        }
        target.executemany("INSERT INTO facts VALUES (?, ?)", fields.items())
        target.execute("COMMIT")
    finally:
        target.close()


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
