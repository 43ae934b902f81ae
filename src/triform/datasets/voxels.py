"""Solid voxels of many shapes, computed once and kept bit-packed.

The cache is one append-only file of equal records per resolution and setting::

    header    512 bytes: what the records hold, as JSON
    record    key (32 bytes: shape and program), crc32 of the rest (4), bits (R^3 / 8)

A process killed while it writes leaves at most one torn record at the end, which the next writer
cuts off; a damaged record fails its checksum and is made again. Writers hold a lock, readers need
none, because complete records never change.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from filelock import FileLock, Timeout
from tqdm import tqdm

from triform.base.errors import UserError
from triform.base.files import atomic_write, open_append
from triform.base.logging import get_logger
from triform.datasets.shape import Shape
from triform.geometry.voxelize import voxelize

logger = get_logger(__name__)

# Raised when `geometry.voxelize` gives other voxels for the same mesh.
PROGRAM = "surface, inside, and behind holes, 2"
HEADER_BYTES = 512
_SYNC_EVERY = 256
# For fewer shapes than this, starting worker processes costs more than it saves.
_FEW = 16


@runtime_checkable
class Prepared(Protocol):
    """An origin whose voxels are there already."""

    def voxels(self, resolution: int, *, fill: bool) -> np.ndarray: ...


class VoxelTable:
    """Occupancy of many shapes, unpacked on demand.

    Attributes:
        shapes: the shapes that could be voxelized, in the order in which they were given.
        failed: (object id, reason) of the others.
        resolution: R.
    """

    def __init__(
        self,
        storage: np.ndarray | _File,
        rows: np.ndarray,
        shapes: list[Shape],
        failed: list[tuple[str, str]],
        resolution: int,
    ) -> None:
        self._storage, self._rows = storage, rows
        self.shapes, self.failed, self.resolution = shapes, failed, resolution

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def packed(self) -> np.ndarray:
        """All rows, (N, ceil(R^3 / 8)) uint8, first voxel in the highest bit; a copy in memory."""
        return self._bits()[self._rows]

    def unpack(self, indices: Sequence[int] | np.ndarray | slice) -> np.ndarray:
        """Occupancy (B, R, R, R) uint8, 0 or 1, indexed x, y, z, of the given rows."""
        rows = self._bits()[self._rows[indices]]
        return np.unpackbits(rows, axis=1, count=self.resolution**3).reshape(
            -1, *[self.resolution] * 3
        )

    def _bits(self) -> np.ndarray:
        return (
            self._storage.records()["bits"] if isinstance(self._storage, _File) else self._storage
        )


def voxelize_shapes(
    shapes: Sequence[Shape],
    resolution: int,
    *,
    fill: bool = True,
    cache: Path | None = None,
    processes: int = 0,
) -> VoxelTable:
    """Voxelizes shapes in parallel; a mesh that cannot be used is left out and reported.

    Args:
        shapes: any shapes.
        resolution: R, the voxels along each side.
        fill: solid inside; otherwise only the surface.
        cache: folder in which the voxels are kept between runs; None keeps them in memory only.
        processes: worker processes; 0 takes one for each core, 1 works in this process.

    Raises:
        UserError: the cache cannot be written, or no shape at all could be voxelized.
    """
    keys = [shape_key(shape) for shape in shapes]
    todo = dict(zip(keys, shapes, strict=True))
    failed: dict[bytes, str] = {}
    if cache is None:
        done: dict[bytes, np.ndarray] = {}
        for key, bits, reason in _work(todo, resolution, fill, processes):
            if bits is None:
                failed[key] = reason
            else:
                done[key] = bits
        storage: np.ndarray | _File = np.array(list(done.values()), dtype=np.uint8).reshape(
            len(done), -(-(resolution**3) // 8)
        )
        places = {key: row for row, key in enumerate(done)}
    else:
        name = f"voxels_{resolution}_{'solid' if fill else 'surface'}.bin"
        storage = _File(cache / name, resolution, fill)
        try:
            places = storage.find(todo)
            if len(places) < len(todo):
                failed = _fill_file(storage, todo, processes)
                places = storage.find(todo)
        except OSError as error:
            raise UserError(
                f"{storage.path}: cannot be written or read ({error.strerror or error}); "
                "free some space, or set TRIFORM_CACHE to another folder"
            ) from None
    kept = [number for number, key in enumerate(keys) if key in places]
    refused = [
        (shapes[number].object_id, failed.get(key, "unknown"))
        for number, key in enumerate(keys)
        if key not in places
    ]
    if shapes and not kept:
        raise UserError(
            f"none of {len(shapes)} meshes can be used; the first: {refused[0][0]}: {refused[0][1]}"
        )
    if refused:
        logger.warning(
            "%d of %d meshes cannot be used; the first: %s: %s",
            len(refused),
            len(shapes),
            *refused[0],
        )
    rows = np.array([places[keys[number]] for number in kept], dtype=np.int64)
    return VoxelTable(storage, rows, [shapes[number] for number in kept], refused, resolution)


def shape_key(shape: Shape) -> bytes:
    """Under which the voxels of a shape are kept: 32 bytes that change with mesh and program."""
    return hashlib.sha256(f"{PROGRAM}|{shape.fingerprint}".encode()).digest()


def _fill_file(file: _File, todo: dict[bytes, Shape], processes: int) -> dict[bytes, str]:
    """Adds what is missing to the file; returns what could not be voxelized, and why."""
    file.path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{file.path}.lock")
    try:
        lock.acquire(timeout=2)
    except Timeout:
        logger.info("%s: another process is filling it, waiting for it", file.path)
        lock.acquire()
    failed: dict[bytes, str] = {}
    try:
        file.repair()
        there = file.find(todo)
        missing = {key: shape for key, shape in todo.items() if key not in there}
        with open_append(file.path, text=False) as stream:
            for count, (key, bits, reason) in enumerate(
                _work(missing, file.resolution, file.fill, processes)
            ):
                if bits is None:
                    failed[key] = reason
                    continue
                stream.write(file.record(key, bits))
                if count % _SYNC_EVERY == 0:
                    os.fsync(stream.fileno())
            os.fsync(stream.fileno())
    finally:
        lock.release()
    return failed


class _File:
    """The records on disk; pickled as its name, so that worker processes share the pages."""

    def __init__(self, path: Path, resolution: int, fill: bool) -> None:
        self.path, self.resolution, self.fill = path, resolution, fill
        size = -(-(resolution**3) // 8)
        self._type = np.dtype([("key", "u1", 32), ("crc", "<u4"), ("bits", "u1", size)])
        self._header = (
            json.dumps({"triform": "voxels", "version": 1, "resolution": resolution, "fill": fill})
            .encode()
            .ljust(HEADER_BYTES - 1)
            + b"\n"
        )
        self._records: np.ndarray | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_records": None}

    def records(self) -> np.ndarray:
        """The complete records, mapped into memory and read where they are used."""
        if self._records is None:
            self._records = self._map()
        return self._records

    def _map(self) -> np.ndarray:
        nothing = np.empty(0, dtype=self._type)
        try:
            size = self.path.stat().st_size
            with self.path.open("rb") as stream:
                if stream.read(HEADER_BYTES) != self._header:
                    return nothing
        except FileNotFoundError:
            return nothing
        count = (size - HEADER_BYTES) // self._type.itemsize
        return (
            np.memmap(self.path, dtype=self._type, mode="r", offset=HEADER_BYTES, shape=(count,))
            if count
            else nothing
        )

    def find(self, keys: Iterable[bytes]) -> dict[bytes, int]:
        """The rows of the keys that are there and whole."""
        self._records = None
        records = self.records()
        rows = {bytes(key): row for row, key in enumerate(np.ascontiguousarray(records["key"]))}
        found = {key: rows[key] for key in keys if key in rows}
        damaged = [
            key
            for key, row in found.items()
            if zlib.crc32(records["bits"][row], zlib.crc32(key)) != records["crc"][row]
        ]
        if damaged:
            logger.warning("%s: %d damaged records, they are made again", self.path, len(damaged))
        for key in damaged:
            del found[key]
        return found

    def repair(self) -> None:
        """Makes the file ready for appending: a header of ours, and whole records after it."""
        self._records = None
        size = self.path.stat().st_size if self.path.exists() else 0
        with self.path.open("rb") if size else open(os.devnull, "rb") as stream:
            good = stream.read(HEADER_BYTES) == self._header
        if not good:
            if size:
                logger.warning("%s: not a voxel cache of this program, it is made again", self.path)
            with atomic_write(self.path) as fresh:
                fresh.write(self._header)
        elif (size - HEADER_BYTES) % self._type.itemsize:
            os.truncate(self.path, size - (size - HEADER_BYTES) % self._type.itemsize)

    def record(self, key: bytes, bits: np.ndarray) -> bytes:
        return (
            key + zlib.crc32(bits.tobytes(), zlib.crc32(key)).to_bytes(4, "little") + bits.tobytes()
        )


Result = tuple[bytes, "np.ndarray | None", str]


def _work(
    todo: dict[bytes, Shape], resolution: int, fill: bool, processes: int
) -> Iterator[Result]:
    """Voxelizes in worker processes; yields (key, packed bits or None, reason) as they come."""
    bar = tqdm(total=len(todo), desc="voxels", unit="mesh", disable=None, leave=False)
    waiting = dict(todo)
    with bar:
        for result in _run(waiting, resolution, fill, processes or os.cpu_count() or 1):
            waiting.pop(result[0], None)
            bar.update()
            yield result


def _run(
    waiting: dict[bytes, Shape], resolution: int, fill: bool, processes: int
) -> Iterator[Result]:
    if processes == 1 or len(waiting) < _FEW:
        for key, shape in list(waiting.items()):
            yield _voxelize_one(key, shape, resolution, fill)
        return
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    task = delayed(_voxelize_one)
    try:
        yield from Parallel(processes, return_as="generator_unordered")(
            task(key, shape, resolution, fill) for key, shape in list(waiting.items())
        )
    except TerminatedWorkerError:
        # A mesh took its worker down (out of memory): one at a time, so that it is known which.
        logger.warning("a worker process died; going on with one mesh at a time")
        for key, shape in list(waiting.items()):
            try:
                yield Parallel(2)([task(key, shape, resolution, fill)])[0]
            except TerminatedWorkerError:
                yield key, None, "the process that worked on it died, perhaps for want of memory"


def _voxelize_one(key: bytes, shape: Shape, resolution: int, fill: bool) -> Result:
    try:
        if isinstance(shape.origin, Prepared):
            return key, np.packbits(shape.origin.voxels(resolution, fill=fill)), ""
        return key, np.packbits(voxelize(shape.load(), resolution, fill=fill, parity=fill)), ""
    except UserError as error:
        return key, None, str(error)
    except (
        Exception
    ) as error:  # a mesh from a stranger may break anything; it must not stop the rest
        return key, None, f"{type(error).__name__}: {error}".splitlines()[0]
