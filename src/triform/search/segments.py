"""Segments: what is appended to the file of a gallery when something is added to it.

A segment is written and synced, and only then its end mark: a process that is killed at any moment
leaves the file as it was, with bytes behind the last end mark that nobody reads and the next save
cuts off. Whoever has the file open keeps what was there when it was opened.

| bytes | |
|---|---|
| 64 | head: mark, bytes of the rows, vectors, their width, CRC-32 of rows, vectors and head |
| | rows: a line of JSON each, [id, group, words of the group, record as JSON]; padded to 64 bytes |
| | vectors: float32 little-endian, padded to 64 bytes |
| 64 | end: mark, CRC-32 of the head |
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from triform.base.logging import get_logger
from triform.search.base_gallery import Vectors

logger = get_logger(__name__)

ALIGNMENT = 64
MAX_COORDINATE = 1.001
"""Vectors are of length 1."""
_HEAD, _END = struct.Struct("<8sQQQII"), struct.Struct("<8sI")
_HEAD_MARK, _END_MARK = b"TRIFORM+", b"TRIFORM."

SegmentRow = tuple[str, str, str, str]
"""Id, name and words of the group, record as JSON."""


@dataclass(frozen=True)
class Segment:
    """What one save added: rows, and vectors (N, D)."""

    rows: list[SegmentRow]
    vectors: Vectors


def aligned(position: int) -> int:
    """The next position at which a segment or its vectors may begin."""
    return -(-position // ALIGNMENT) * ALIGNMENT


def checked_vectors(data: NDArray[np.uint8], dim: int, checksum: int | None = None) -> Vectors:
    """Bytes as vectors (N, dim), without a copy.

    Raises:
        ValueError: They do not match their checksum, or are no vectors of length 1.
    """
    if checksum is not None and zlib.crc32(data.data) != checksum:
        raise ValueError("vectors do not match their checksum")
    vectors: Vectors = data.view("<f4").reshape(-1, max(dim, 1)).astype(np.float32, copy=False)
    # Written so that NaN, which is neither, is refused.
    if len(vectors) and not (vectors.max() <= MAX_COORDINATE and vectors.min() >= -MAX_COORDINATE):
        raise ValueError("vectors are not of length 1")
    return vectors


def read_segments(
    data: NDArray[np.uint8], start: int, dim: int, path: Path
) -> tuple[list[Segment], int]:
    """Segments of a file from a position on, and where the last one ends.

    Raises:
        ValueError: One is damaged.
    """
    segments = []
    while len(data) > start:
        found = _read_segment(data, aligned(start), dim)
        if found is None:
            logger.warning("%s: a save is under way or was stopped; what it adds is not read", path)
            break
        segment, start = found
        segments.append(segment)
    return segments, start


def _read_segment(data: NDArray[np.uint8], start: int, dim: int) -> tuple[Segment, int] | None:
    """A segment and its end; None where it was not written to its end."""
    head = data[start : start + ALIGNMENT]
    # A power cut may leave zeros where something was to be written.
    if len(head) < ALIGNMENT or not head.any():
        return None
    mark, num_bytes, count, width, of_rows, of_vectors = _HEAD.unpack_from(head.tobytes())
    if mark != _HEAD_MARK or head[_HEAD.size :].tobytes() != _head_checksum(head.tobytes()):
        raise ValueError("what was added has no head")
    first = start + ALIGNMENT
    middle = aligned(first + num_bytes)
    last = middle + 4 * count * width
    stop = aligned(last) + ALIGNMENT
    end = data[stop - ALIGNMENT : stop]
    if stop > len(data) or not end.any():
        return None
    if end.tobytes() != _end(head.tobytes()) or width != dim:
        raise ValueError("what was added has no end")
    text = data[first : first + num_bytes].tobytes()
    if zlib.crc32(text) != of_rows:
        raise ValueError("rows that were added do not match their checksum")
    # One by one: JSON of a stranger may take far more memory than its text.
    if text.count(b"\n") != count:
        raise ValueError("rows that were added are missing")
    rows = [_row(line) for line in text.split(b"\n")[:-1]]
    return Segment(rows, checked_vectors(data[middle:last], dim, of_vectors)), stop


def _row(line: bytes) -> SegmentRow:
    row = json.loads(line)
    identity, group, words, record = row
    if not all(isinstance(value, str) for value in row):
        raise ValueError("a row that was added is not of texts")
    return identity, group, words, record


def can_append(path: Path) -> bool:
    """Whether a file has this name alone: not a link, and no copy that shares its data."""
    status = os.lstat(path)
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1


def append_segment(path: Path, start: int, rows: Sequence[SegmentRow], vectors: Vectors) -> int:
    """Append a segment to a file, whole or not at all.

    Args:
        path: The file.
        start: Where its last segment ends; what lies behind was not written to its end.
        rows: One for each vector.
        vectors: (N, D).

    Returns:
        Where the segment ends.
    """
    text = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode()
    data = np.ascontiguousarray(vectors, "<f4").data
    first = aligned(start) + ALIGNMENT
    middle = aligned(first + len(text))
    last = aligned(middle + data.nbytes)
    fields = (len(text), *vectors.shape, zlib.crc32(text), zlib.crc32(data))
    head = _HEAD.pack(_HEAD_MARK, *fields)
    head += _head_checksum(head)
    # Not through a link that was put there meanwhile.
    handle = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(handle, "r+b") as file:
        try:
            file.truncate(start)
            file.seek(first - ALIGNMENT)
            file.write(head)
            file.write(text)
            file.seek(middle)
            file.write(data)
            file.truncate(last)
            file.flush()
            os.fsync(file.fileno())
            file.seek(last)
            file.write(_end(head))
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            with contextlib.suppress(OSError):
                file.truncate(start)
            raise
    return last + ALIGNMENT


def _head_checksum(head: bytes) -> bytes:
    """What fills a head: its checksum, and zeros."""
    checksum = zlib.crc32(head[: _HEAD.size]).to_bytes(4, "little")
    return checksum.ljust(ALIGNMENT - _HEAD.size, b"\0")


def _end(head: bytes) -> bytes:
    return _END.pack(_END_MARK, zlib.crc32(head)).ljust(ALIGNMENT, b"\0")
