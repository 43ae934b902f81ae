"""Voxels of many shapes, computed in parallel and cached bit-packed on disk.

The cache is one append-only file of equal records per resolution and setting::

    header    512 bytes: what the records hold, as JSON
    record    key (32 bytes: shape and program), crc32 of the rest (4), bits (R^3 / 8)

A process killed while it writes leaves at most one incomplete record at the end, which the next
writer truncates; a damaged record fails its checksum and is recomputed. Writers hold a lock;
readers need none, because complete records never change.
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
from triform.geometry.voxels.voxelize import voxelize

logger = get_logger(__name__)

# Part of the cache key; changed when `geometry.voxelize` gives other voxels for the same mesh.
VOXELIZER_VERSION = "surface, inside, and behind holes, 2"
HEADER_BYTES = 512
SYNC_INTERVAL = 256
# For fewer shapes, starting worker processes takes longer than it saves.
MIN_PARALLEL_SHAPES = 16


@runtime_checkable
class VoxelSource(Protocol):
    """A mesh source that has voxels already."""

    def voxels(self, resolution: int, *, fill: bool) -> np.ndarray: ...


class VoxelTable:
    """Bit-packed occupancy of many shapes, unpacked on demand.

    Attributes:
        shapes: the voxelized shapes, in the order of the input.
        failed: (object id, reason) of the others.
    """

    def __init__(
        self,
        file: _VoxelFile,
        rows: np.ndarray,
        shapes: list[Shape],
        failed: list[tuple[str, str]],
        resolution: int,
    ) -> None:
        self._file, self._rows = file, rows
        self.shapes, self.failed, self.resolution = shapes, failed, resolution

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def packed(self) -> np.ndarray:
        """A copy of all rows, (N, ceil(R^3 / 8)) uint8, first voxel in the highest bit."""
        return np.take(self._file.records()["bits"], self._rows, axis=0)

    def unpack(self, indices: Sequence[int] | np.ndarray | slice) -> np.ndarray:
        """Occupancy (B, R, R, R) uint8, 0 or 1, indexed x, y, z, of the given rows."""
        rows = self._file.records()["bits"][self._rows[indices]]
        return np.unpackbits(rows, axis=1, count=self.resolution**3).reshape(
            -1, *[self.resolution] * 3
        )


def voxelize_shapes(
    shapes: Sequence[Shape],
    resolution: int,
    *,
    cache: Path,
    fill: bool = True,
    processes: int = 0,
) -> VoxelTable:
    """Voxelize shapes in parallel; meshes that fail are left out with a warning.

    Args:
        shapes: any shapes.
        resolution: R, the voxels along each side.
        cache: folder of the cache.
        fill: fill the inside; otherwise only the surface.
        processes: worker processes; 0 is one per core, 1 is this process.

    Raises:
        UserError: the cache cannot be written, or no shape at all could be voxelized.
    """
    keys = [shape_key(shape) for shape in shapes]
    shape_of_key = dict(zip(keys, shapes, strict=True))
    reasons: dict[bytes, str] = {}
    name = f"voxels_{resolution}_{'solid' if fill else 'surface'}.bin"
    file = _VoxelFile(cache / name, resolution, fill)
    try:
        row_of_key = file.find(shape_of_key)
        if len(row_of_key) < len(shape_of_key):
            reasons = _append_missing(file, shape_of_key, processes)
            row_of_key = file.find(shape_of_key)
    except OSError as error:
        raise UserError(
            f"{file.path}: cannot be written or read ({error.strerror or error}); "
            "free some space, or set TRIFORM_CACHE to another folder"
        ) from None
    usable = [index for index, key in enumerate(keys) if key in row_of_key]
    failures = [
        (shapes[index].object_id, reasons.get(key, "unknown"))
        for index, key in enumerate(keys)
        if key not in row_of_key
    ]
    if shapes and not usable:
        raise UserError(
            f"none of {len(shapes)} meshes can be used; the first: "
            f"{failures[0][0]}: {failures[0][1]}"
        )
    if failures:
        logger.warning(
            "%d of %d meshes cannot be used; the first: %s: %s",
            len(failures),
            len(shapes),
            *failures[0],
        )
    rows = np.array([row_of_key[keys[index]] for index in usable], dtype=np.int64)
    return VoxelTable(file, rows, [shapes[index] for index in usable], failures, resolution)


def shape_key(shape: Shape) -> bytes:
    """Cache key of a shape: 32 bytes that depend on the mesh and the voxelizer's version."""
    return hashlib.sha256(f"{VOXELIZER_VERSION}|{shape.fingerprint}".encode()).digest()


def _append_missing(
    file: _VoxelFile, shape_of_key: dict[bytes, Shape], processes: int
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
            for count, (key, bits, reason) in enumerate(
                _voxelize_all(missing, file.resolution, file.fill, processes)
            ):
                if bits is None:
                    reasons[key] = reason
                    continue
                stream.write(file.record(key, bits))
                if count % SYNC_INTERVAL == 0:
                    os.fsync(stream.fileno())
            os.fsync(stream.fileno())
    finally:
        lock.release()
    return reasons


class _VoxelFile:
    """The records on disk; pickled as a path, so that worker processes share its pages."""

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
            if zlib.crc32(records["bits"][row], zlib.crc32(key)) != records["crc"][row]
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
                logger.warning("%s: not a voxel cache of this program, it is made again", self.path)
            with atomic_write(self.path) as stream:
                stream.write(self._header)
        elif (size - HEADER_BYTES) % self._type.itemsize:
            os.truncate(self.path, size - (size - HEADER_BYTES) % self._type.itemsize)

    def record(self, key: bytes, bits: np.ndarray) -> bytes:
        return (
            key + zlib.crc32(bits.tobytes(), zlib.crc32(key)).to_bytes(4, "little") + bits.tobytes()
        )


Result = tuple[bytes, "np.ndarray | None", str]


def _voxelize_all(
    shape_of_key: dict[bytes, Shape], resolution: int, fill: bool, processes: int
) -> Iterator[Result]:
    """Voxelize in worker processes; yield (key, packed bits or None, reason) as completed."""
    bar = tqdm(total=len(shape_of_key), desc="voxels", unit="mesh", disable=None, leave=False)
    pending = dict(shape_of_key)
    with bar:
        for result in _iterate_results(pending, resolution, fill, processes or os.cpu_count() or 1):
            pending.pop(result[0], None)
            bar.update()
            yield result


def _iterate_results(
    pending: dict[bytes, Shape], resolution: int, fill: bool, processes: int
) -> Iterator[Result]:
    if processes == 1 or len(pending) < MIN_PARALLEL_SHAPES:
        for key, shape in list(pending.items()):
            yield _voxelize_one(key, shape, resolution, fill)
        return
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    task = delayed(_voxelize_one)
    try:
        yield from Parallel(processes, return_as="generator_unordered")(
            task(key, shape, resolution, fill) for key, shape in list(pending.items())
        )
    except TerminatedWorkerError:
        # A mesh killed its worker (out of memory): one mesh at a time finds out which.
        logger.warning("a worker process died; going on with one mesh at a time")
        for key, shape in list(pending.items()):
            try:
                yield Parallel(2)([task(key, shape, resolution, fill)])[0]
            except TerminatedWorkerError:
                yield key, None, "its worker process died, perhaps out of memory"


def _voxelize_one(key: bytes, shape: Shape, resolution: int, fill: bool) -> Result:
    try:
        if isinstance(shape.origin, VoxelSource):
            return key, np.packbits(shape.origin.voxels(resolution, fill=fill)), ""
        return key, np.packbits(voxelize(shape.load(), resolution, fill=fill, parity=fill)), ""
    except UserError as error:
        return key, None, str(error)
    except Exception as error:  # an untrusted mesh may raise anything and must not stop the rest
        return key, None, f"{type(error).__name__}: {error}".splitlines()[0]
