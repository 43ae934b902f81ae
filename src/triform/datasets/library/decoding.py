"""Decoders for the files of a library: nothing is unpickled, every error names the file."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import math
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from triform.base.archive import open_zip
from triform.base.errors import UserError
from triform.datasets.library.field_types import MAX_VOXEL_SIZE
from triform.datasets.library.layout import FAR, MAX_DEPTH, LibraryObject
from triform.datasets.library.library import Library
from triform.geometry.render.cameras import Camera
from triform.images.read import read_depth_map
from triform.images.read import read_image as read_any_image

# Larger arrays are mapped instead of read, since usually a part of them is used.
_MIN_MAPPED_BYTES = 4 * 2**20
_MAX_HEADER_BYTES = 2**16
# Magic, version and length before the header of an array file.
_PREFIX_BYTES = 12
# One byte for each voxel at the finest resolution, or a wider type at a coarser one.
_MAX_VOXEL_BYTES = MAX_VOXEL_SIZE**3
# Arrays in one voxel file.
_MAX_ARRAYS = 100


# Errors of decoders for damaged files.
_DAMAGE = (
    ValueError,
    LookupError,
    OSError,
    SyntaxError,
    EOFError,
    MemoryError,
    TypeError,
    OverflowError,
    RuntimeError,
    zlib.error,
    zipfile.BadZipFile,
    Image.DecompressionBombError,
)


class DamagedFile(UserError):
    """A file of a library that cannot be decoded."""


def read_image(library: Library, path: str, size: int | None = None) -> np.ndarray:
    """Image, (S, S, 4) uint8 RGBA with straight alpha.

    Args:
        library: an opened library.
        path: inside the library.
        size: S; None for the stored size. An image that is not square gets transparent margins.

    Raises:
        UserError: the file is missing or not an image.
    """
    return decode_image(library.read_bytes(path), path, size)


def decode_image(data: bytes, path: str, size: int | None = None) -> np.ndarray:
    """As `read_image`, from the file's content."""
    with _report_damage(path, "image"):
        image = open_image(data, path)
        width, height = image.size
        if width != height:
            square = Image.new("RGBA", (max(width, height),) * 2)
            square.paste(image, ((square.width - width) // 2, (square.height - height) // 2))
            image = square
        if size is not None and size != image.width:
            # Pillow weighs colours by alpha here, so that nothing bleeds in from the background.
            is_multiple = image.width % size == 0
            method = Image.Resampling.BOX if is_multiple else Image.Resampling.LANCZOS
            image = image.resize((size, size), method)
        return np.asarray(image)


def open_image(data: bytes, path: str) -> Image.Image:
    """PNG as RGBA; other formats are refused.

    Raises:
        DamagedFile: the file is not a PNG, or too large.
    """
    try:
        return read_any_image(data, path, kinds=("PNG",)).convert("RGBA")
    except UserError as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise DamagedFile(f"{path}: no readable image: {reason}") from None


def decode_depth(data: bytes, path: str, size: int | None = None) -> np.ndarray:
    """Depth image, (S, S) float32 along the camera's z; infinite for the background.

    Raises:
        UserError: the file is not a 16-bit PNG.
    """
    with _report_damage(path, "depth image"):
        try:
            values = read_depth_map(data, path)
        except UserError as error:
            reason = str(error).removeprefix(f"{path}: ")
            raise DamagedFile(f"{path}: no readable depth image: {reason}") from None
        if size is not None and values.shape != (size, size):
            image = Image.fromarray(values)
            values = np.asarray(image.resize((size, size), Image.Resampling.NEAREST))
        depth: np.ndarray = values.astype(np.float32) * np.float32(MAX_DEPTH / 65536)
        depth[values >= FAR] = np.inf
        return depth


def read_array(library: Library, path: str) -> np.ndarray:
    """Array from a file (.npy); a large local file is memory-mapped.

    Raises:
        UserError: the file is missing, damaged, or would have to be unpickled.
    """
    try:
        file = library.store.local_file(path)
        if file is not None and file.stat().st_size >= _MIN_MAPPED_BYTES:
            with file.open("rb") as stream:
                return _map_array(file, stream.read(_MAX_HEADER_BYTES + _PREFIX_BYTES), path)
    except OSError:
        pass  # reading it whole raises the usual error
    data = library.read_bytes(path)
    return decode_array(data, path)


def decode_array(data: bytes, path: str) -> np.ndarray:
    """Read-only array from the content of its file."""
    with _report_damage(path, "array"):
        dtype, shape, fortran, offset = array_header(data)
        count = math.prod(shape)
        if len(data) - offset < count * dtype.itemsize:
            raise ValueError(
                f"{len(data):,} bytes, but its header promises {count} x {dtype}: cut off"
            )
        values = np.frombuffer(data, dtype, count, offset)
        return values.reshape(shape, order="F" if fortran else "C")


def array_header(data: bytes) -> tuple[np.dtype[Any], tuple[int, ...], bool, int]:
    """Type, shape, Fortran order and data offset of an array file.

    Raises:
        ValueError: it is not an array file, or contains Python objects.
    """
    if data[:6] != b"\x93NUMPY" or len(data) < 12:
        raise ValueError("not an array file (.npy) of numpy")
    is_version_2 = data[6] > 1
    length = int.from_bytes(data[8 : 12 if is_version_2 else 10], "little")
    offset = length + (12 if is_version_2 else 10)
    if length > _MAX_HEADER_BYTES:
        raise ValueError("its header is too long")
    try:
        dtype, shape, fortran = _parse_header(data[:offset])
        if min(shape, default=0) < 0:
            raise ValueError(f"its header says {shape}")
        return dtype, shape, fortran, offset
    except (SyntaxError, TypeError, tokenize.TokenError, UnicodeError, RecursionError):
        # numpy parses the header as a Python literal.
        raise ValueError("its header is damaged") from None


@functools.lru_cache(maxsize=256)
def _parse_header(header: bytes) -> tuple[np.dtype[Any], tuple[int, ...], bool]:
    """Cached: most headers of a library are equal, and numpy's parser is slow."""
    stream = io.BytesIO(header)
    version = np.lib.format.read_magic(stream)
    read = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, fortran, dtype = read(stream)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which would have to be unpickled")
    return dtype, shape, fortran


def _map_array(file: Path, head: bytes, path: str) -> np.ndarray:
    with _report_damage(path, "array"):
        dtype, shape, fortran, offset = array_header(head)
        return np.memmap(
            file, dtype, mode="r", offset=offset, shape=shape, order="F" if fortran else "C"
        )


def as_rows(values: np.ndarray, path: str, noun: str = "points") -> np.ndarray:
    """Array of shape (N, 3) from (N, 3) or (3, N).

    Raises:
        UserError: another shape, no numeric type, or an empty array.
    """
    if values.dtype.kind not in "biuf" or values.size == 0:
        description = "none" if values.size == 0 else str(values.dtype)[:80]
        raise DamagedFile(f"{path}: expected {noun}, holds {description}")
    if values.ndim == 2 and values.shape[1] == 3:
        return values
    if values.ndim == 2 and values.shape[0] == 3:
        return np.asarray(values.T)
    raise DamagedFile(f"{path}: {noun} of shape {values.shape}; expected (N, 3) or (3, N)")


def read_voxels(library: Library, entry: LibraryObject, size: int) -> np.ndarray:
    """Voxels of an object, (size, size, size) bool, max-pooled from a finer multiple if needed.

    Raises:
        UserError: there are no such voxels, or they cannot be read.
    """
    stored_size = min(
        (available for available in entry.voxels if available % size == 0), default=None
    )
    if stored_size is None:
        available = ", ".join(f"{size}^3" for size in entry.voxel_sizes) or "none"
        raise UserError(
            f"{library.root}: no voxels of {size}^3 for {entry.object_id} (there: {available}); "
            f"make them from its mesh: triform shapes prepare MESHES LIBRARY --voxel_size {size}"
        )
    path = entry.voxels[stored_size]
    voxels = decode_voxels(library.read_bytes(path), path, stored_size)
    parts = stored_size // size
    pooled = voxels.reshape(size, parts, size, parts, size, parts).any(axis=(1, 3, 5))
    return np.asarray(pooled)


def decode_voxels(data: bytes, path: str, size: int) -> np.ndarray:
    """Occupancy, (size, size, size) bool, index order x, y, z.

    Files of this program are bit-packed; a plain array of the right shape is accepted as well.

    Raises:
        UserError: the file is damaged, or of another size.
    """
    with _report_damage(path, "voxel grid"):
        if not 1 <= size <= MAX_VOXEL_SIZE:
            raise ValueError(f"{size}^3 voxels, at most {MAX_VOXEL_SIZE}^3 are read")
        with open_zip(io.BytesIO(data), _MAX_ARRAYS) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            name = next((n for n in ("occupancy", "voxels", *names) if n in names), None)
            if name is None:
                raise ValueError("nothing in it")
            values = _read_voxel_array(archive, f"{name}.npy", size)
        if values.shape == (size,) * 3:
            return np.asarray(values > 0.5 if values.dtype.kind == "f" else values != 0)
        bits = np.unpackbits(values.reshape(-1), count=size**3)
        return bits.reshape((size,) * 3).view(bool)


def _read_voxel_array(archive: zipfile.ZipFile, member: str, size: int) -> np.ndarray:
    """Bits or voxels of a file; unpacked only if its header and size match.

    Raises:
        ValueError: another shape or type, or another size than in the header.
    """
    info = archive.getinfo(member)
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{member} is compressed in an unsupported way")
    with archive.open(info) as stream:
        head = stream.read(_PREFIX_BYTES - 2)
        head += stream.read(2) if head[6:7] > b"\1" else b""
        head += stream.read(min(int.from_bytes(head[8:], "little"), _MAX_HEADER_BYTES))
        dtype, shape, fortran, offset = array_header(head)
        bits = dtype == np.uint8 and math.prod(shape) == -(-(size**3) // 8)
        if not bits and not (shape == (size,) * 3 and dtype.kind in "biuf"):
            raise ValueError(f"{member} is {dtype} {shape}, expected {size}^3 bits or cells"[:200])
        expected = math.prod(shape) * dtype.itemsize
        if expected > _MAX_VOXEL_BYTES or info.file_size != offset + expected:
            raise ValueError(
                f"{member} unpacks to {info.file_size:,} bytes, its header promises {expected:,}"
            )
        # Read to the end of the member: its checksum is compared there.
        values = np.frombuffer(stream.read(), dtype)
        return values.reshape(shape, order="F" if fortran else "C")


def decode_camera(data: bytes, path: str) -> Camera:
    """Camera from JSON.

    Raises:
        UserError: the file is not JSON, or values are missing or impossible.
    """
    with _report_damage(path, "camera"):
        return Camera.from_json(json.loads(data), path)


@contextlib.contextmanager
def _report_damage(path: str, noun: str) -> Iterator[None]:
    """Turn the errors of decoders into one line."""
    try:
        yield
    except UserError:
        raise
    except _DAMAGE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        if "BytesIO" in reason:
            reason = "it is not a PNG"
        raise DamagedFile(f"{path}: no readable {noun}: {reason}") from None
