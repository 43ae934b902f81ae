"""Arrays computed once for each shape of a data set, in parallel, and cached on disk.

The cache is one append-only file of equal records per kind of array::

    header    512 bytes: what the records hold, as JSON
    record    key (32 bytes: shape and program), crc32 of the rest (4), payload

A process killed while it writes leaves at most one incomplete record at the end, which the next
writer truncates; a damaged record fails its checksum and is recomputed. Writers hold a lock;
readers need none, because complete records never change.
"""

from __future__ import annotations

import json
import logging
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from tqdm import tqdm

from triform.base.errors import UserError
from triform.base.files import atomic_write, open_append
from triform.base.logging import get_logger, set_up_console
from triform.base.progress import progress_bar
from triform.datasets.shape import Shape

logger = get_logger(__name__)

HEADER_BYTES = 512
SYNC_INTERVAL = 256
# For fewer shapes, starting worker processes takes longer than it saves.
MIN_PARALLEL_SHAPES = 16

Compute = Callable[[Shape], np.ndarray]
Result = tuple[bytes, "np.ndarray | None", str]


class CachedRows:
    """One payload (size,) of each usable shape; pickled as a path, memory-mapped by each process.

    Attributes:
        shapes: the usable shapes, in the order of the input.
        failed: (object id, reason) of the others.
    """

    def __init__(
        self,
        storage: np.ndarray | RecordFile,
        rows: np.ndarray,
        shapes: list[Shape],
        failed: list[tuple[str, str]],
    ) -> None:
        self._storage, self._rows = storage, rows
        self.shapes, self.failed = shapes, failed

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, indices: Sequence[int] | np.ndarray | slice) -> np.ndarray:
        """Payloads (N, size) of rows, a copy."""
        storage = self._storage
        records = storage.records()["payload"] if isinstance(storage, RecordFile) else storage
        # Not np.take: it would first copy the whole file, because records lie apart.
        return np.asarray(records[self._rows[indices]])


def compute_rows(
    shapes: Sequence[Shape],
    compute: Compute,
    key: Callable[[Shape], bytes],
    file: RecordFile,
    *,
    cached: bool,
    processes: int,
    description: str,
    report_failures: bool = True,
) -> CachedRows:
    """Compute an array of each shape, or read it; shapes that fail are left out with a warning.

    Args:
        shapes: any shapes.
        compute: returns the payload of a shape, of the file's type and size; pickled for workers.
        key: cache key of a shape, 32 bytes that change with the mesh and the program.
        file: the cache, or only the description of a record.
        cached: whether to use the file.
        processes: worker processes; 0 is one per core, 1 is this process.
        description: label of the progress bar.
        report_failures: warn of shapes that fail, and stop where no other is left.

    Raises:
        UserError: the cache cannot be written, or no shape at all could be used.
    """
    keys = [key(shape) for shape in shapes]
    shape_of_key = dict(zip(keys, shapes, strict=True))
    reasons: dict[bytes, str] = {}
    if not cached:
        payloads: dict[bytes, np.ndarray] = {}
        for found, payload, reason in _compute_all(shape_of_key, compute, processes, description):
            if payload is None:
                reasons[found] = reason
            else:
                payloads[found] = payload
        packed = np.array(list(payloads.values()), dtype=file.dtype)
        storage: np.ndarray | RecordFile = packed.reshape(-1, file.size)
        row_of_key = {found: row for row, found in enumerate(payloads)}
    else:
        storage = file
        try:
            row_of_key = file.find(shape_of_key)
            if len(row_of_key) < len(shape_of_key):
                reasons = _append_missing(file, shape_of_key, compute, processes, description)
                row_of_key = file.find(shape_of_key)
        except OSError as error:
            raise UserError(
                f"{file.path}: cannot be written or read ({error.strerror or error}); "
                "free some space, or set TRIFORM_CACHE to another folder"
            ) from None
    usable = [index for index, found in enumerate(keys) if found in row_of_key]
    failures = [
        (shapes[index].object_id, reasons.get(found, "unknown"))
        for index, found in enumerate(keys)
        if found not in row_of_key
    ]
    if shapes and not usable and report_failures:
        raise UserError(
            f"none of {len(shapes)} meshes can be used; the first: "
            f"{failures[0][0]}: {failures[0][1]}"
        )
    if failures and report_failures:
        logger.warning(
            "%d of %d meshes cannot be used; the first: %s: %s",
            len(failures),
            len(shapes),
            *failures[0],
        )
    rows = np.array([row_of_key[keys[index]] for index in usable], dtype=np.int64)
    return CachedRows(storage, rows, [shapes[index] for index in usable], failures)


def _append_missing(
    file: RecordFile,
    shape_of_key: dict[bytes, Shape],
    compute: Compute,
    processes: int,
    description: str,
) -> dict[bytes, str]:
    """Append missing records to the file; return the reasons of the meshes that failed."""
    file.path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{file.path}.lock")
    try:
        lock.acquire(timeout=2)
    except Timeout:
        logger.info("%s: another process is filling it, waiting for it", file.path)
        lock.acquire()
    reasons: dict[bytes, str] = {}
    try:
        file.repair()
        present = file.find(shape_of_key)
        missing = {key: shape for key, shape in shape_of_key.items() if key not in present}
        with open_append(file.path, text=False) as stream:
            for count, (key, payload, reason) in enumerate(
                _compute_all(missing, compute, processes, description)
            ):
                if payload is None:
                    reasons[key] = reason
                    continue
                stream.write(file.record(key, payload))
                if count % SYNC_INTERVAL == 0:
                    os.fsync(stream.fileno())
            os.fsync(stream.fileno())
    finally:
        lock.release()
    return reasons


class RecordFile:
    """The records on disk; pickled as a path, so that worker processes share its pages."""

    def __init__(self, path: Path, header: dict[str, Any], dtype: str, size: int) -> None:
        self.path, self.dtype, self.size = path, dtype, size
        self._type = np.dtype([("key", "u1", 32), ("crc", "<u4"), ("payload", dtype, size)])
        self._header = json.dumps(header).encode().ljust(HEADER_BYTES - 1) + b"\n"
        self._records: np.ndarray | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_records": None}

    def records(self) -> np.ndarray:
        """The complete records, memory-mapped."""
        if self._records is None:
            self._records = self._map()
        return self._records

    def _map(self) -> np.ndarray:
        empty = np.empty(0, dtype=self._type)
        try:
            size = self.path.stat().st_size
            with self.path.open("rb") as stream:
                if stream.read(HEADER_BYTES) != self._header:
                    return empty
        except FileNotFoundError:
            return empty
        count = (size - HEADER_BYTES) // self._type.itemsize
        return (
            np.memmap(self.path, dtype=self._type, mode="r", offset=HEADER_BYTES, shape=(count,))
            if count
            else empty
        )

    def find(self, keys: Iterable[bytes]) -> dict[bytes, int]:
        """Rows of the keys that have an undamaged record."""
        self._records = None
        records = self.records()
        rows = {bytes(key): row for row, key in enumerate(np.ascontiguousarray(records["key"]))}
        rows_of_keys = {key: rows[key] for key in keys if key in rows}
        damaged_keys = [
            key
            for key, row in rows_of_keys.items()
            if zlib.crc32(records["payload"][row], zlib.crc32(key)) != records["crc"][row]
        ]
        if damaged_keys:
            logger.warning(
                "%s: %d damaged records, they are made again", self.path, len(damaged_keys)
            )
        for key in damaged_keys:
            del rows_of_keys[key]
        return rows_of_keys

    def repair(self) -> None:
        """Prepare the file for appending: a valid header, and only complete records."""
        self._records = None
        size = self.path.stat().st_size if self.path.exists() else 0
        with self.path.open("rb") if size else open(os.devnull, "rb") as stream:
            is_valid = stream.read(HEADER_BYTES) == self._header
        if not is_valid:
            if size:
                logger.warning("%s: not such a cache of this program, it is made again", self.path)
            with atomic_write(self.path) as stream:
                stream.write(self._header)
        elif (size - HEADER_BYTES) % self._type.itemsize:
            os.truncate(self.path, size - (size - HEADER_BYTES) % self._type.itemsize)

    def record(self, key: bytes, payload: np.ndarray) -> bytes:
        return (
            key
            + zlib.crc32(payload.tobytes(), zlib.crc32(key)).to_bytes(4, "little")
            + payload.tobytes()
        )


def _compute_all(
    shape_of_key: dict[bytes, Shape], compute: Compute, processes: int, description: str
) -> Iterator[Result]:
    """Compute in worker processes; yield (key, payload or None, reason) as completed."""
    bar: tqdm[object] = progress_bar(desc=description, total=len(shape_of_key), unit="mesh")
    pending = dict(shape_of_key)
    with bar:
        for result in _iterate_results(pending, compute, processes or os.cpu_count() or 1):
            pending.pop(result[0], None)
            bar.update()
            yield result


def _iterate_results(
    pending: dict[bytes, Shape], compute: Compute, processes: int
) -> Iterator[Result]:
    if processes == 1 or len(pending) < MIN_PARALLEL_SHAPES:
        for key, shape in list(pending.items()):
            yield _compute_one(key, shape, compute)
        return
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    task = delayed(_compute_in_worker)
    try:
        yield from Parallel(processes, return_as="generator_unordered")(
            task(key, shape, compute) for key, shape in list(pending.items())
        )
    except TerminatedWorkerError:
        # A mesh killed its worker (out of memory): one mesh at a time finds out which.
        logger.warning("a worker process died; going on with one mesh at a time")
        for key, shape in list(pending.items()):
            try:
                yield Parallel(2)([task(key, shape, compute)])[0]
            except TerminatedWorkerError:
                yield key, None, "its worker process died, perhaps out of memory"


def _compute_in_worker(key: bytes, shape: Shape, compute: Compute) -> Result:
    """As `_compute_one`, with warnings shown as in the main process."""
    set_up_console(logging.WARNING)
    return _compute_one(key, shape, compute)


def _compute_one(key: bytes, shape: Shape, compute: Compute) -> Result:
    try:
        return key, compute(shape), ""
    except UserError as error:
        return key, None, str(error)
    except Exception as error:  # an untrusted mesh may raise anything and must not stop the rest
        return key, None, f"{type(error).__name__}: {error}".splitlines()[0]
