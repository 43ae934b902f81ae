"""The journal of an index run: what is computed and not yet in the index.

A run that is killed loses at most the batch that it was working on: the next one reads the journal
and goes on. The file grows by whole entries, each with its length and checksum, synced to disk; an
entry that was cut off by the kill is dropped.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from triform.base.errors import UserError
from triform.base.files import open_append, refuse_special
from triform.base.logging import get_logger
from triform.search.base_gallery import Record, Vectors

logger = get_logger(__name__)

SUFFIX = ".journal"
_FRAME = struct.Struct("<II")
_MAX_ENTRY = 2**31


@dataclass(frozen=True)
class Entry:
    """A file that was read.

    Attributes:
        path: As stored in the index.
        size: Bytes.
        modified: Nanoseconds since 1970.
        records: One for each vector; none where the file cannot be read.
        vectors: (N, D) float32.
        reason: Why it cannot be read; "" where it can.
    """

    path: str
    size: int
    modified: int
    records: Sequence[Record]
    vectors: Vectors
    reason: str = ""


class Journal:
    """Entries on disk.

    Attributes:
        entries: Path -> entry, of those that were there and those that were added.
    """

    def __init__(self, path: Path, header: str):
        """Open or create the journal of a run.

        Args:
            path: The file.
            header: What its entries depend on; those with another header are dropped.

        Raises:
            UserError: The file cannot be written.
        """
        self.path, self._header = path, header
        self.entries: dict[str, Entry] = {}
        refuse_special(path)
        end = self._read()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists():
                os.truncate(path, end)
            self._file = open_append(path, text=False)
            if end == 0:
                self._write(header.encode())
        except OSError as error:
            raise UserError(f"{path}: cannot be written ({error.strerror})") from None

    def add(self, entries: Iterable[Entry]) -> None:
        """Append entries, all of them or none, and sync them to disk."""
        added = list(entries)
        self._write(_encode(added))
        self.entries |= {entry.path: entry for entry in added}

    def delete(self) -> None:
        """Remove the file: the index holds all of it."""
        self._file.close()
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Leave the file for the next run."""
        self._file.close()

    def _write(self, data: bytes) -> None:
        self._file.write(_FRAME.pack(len(data), zlib.crc32(data)) + data)
        os.fsync(self._file.fileno())

    def _read(self) -> int:
        """Read the whole entries of the file; returns where they end."""
        end = 0
        for data, position in _frames(self.path):
            if end == 0:
                if data.decode(errors="replace") != self._header:
                    logger.warning("%s: of a run with another model; begun anew", self.path)
                    return 0
            else:
                try:
                    found = _decode(data)
                except (ValueError, KeyError, TypeError):
                    return end
                self.entries |= {entry.path: entry for entry in found}
            end = position
        return end


def journal_path(index: Path) -> Path:
    """The journal of an index."""
    return index.with_name(index.name + SUFFIX)


def _frames(path: Path) -> Iterator[tuple[bytes, int]]:
    """Content of each whole entry, and where it ends."""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        while len(head := file.read(_FRAME.size)) == _FRAME.size:
            length, checksum = _FRAME.unpack(head)
            if length > min(size - file.tell(), _MAX_ENTRY):
                return
            data = file.read(length)
            if zlib.crc32(data) != checksum:
                return
            yield data, file.tell()


def _encode(entries: Sequence[Entry]) -> bytes:
    """A line of JSON, and the vectors."""
    about = [
        {
            "path": entry.path,
            "size": entry.size,
            "modified": entry.modified,
            "records": list(entry.records),
            "dim": entry.vectors.shape[1],
            "reason": entry.reason,
        }
        for entry in entries
    ]
    vectors = b"".join(np.ascontiguousarray(entry.vectors, "<f4").tobytes() for entry in entries)
    return json.dumps(about).encode() + b"\n" + vectors


def _decode(data: bytes) -> list[Entry]:
    line, _, rest = data.partition(b"\n")
    entries, start = [], 0
    about: list[dict[str, Any]] = json.loads(line)
    for one in about:
        shape = (len(one["records"]), int(one["dim"]))
        stop = start + 4 * shape[0] * shape[1]
        vectors = np.frombuffer(rest[start:stop], "<f4").reshape(shape).astype(np.float32)
        start = stop
        entries.append(
            Entry(
                str(one["path"]),
                int(one["size"]),
                int(one["modified"]),
                one["records"],
                vectors,
                str(one["reason"]),
            )
        )
    return entries
