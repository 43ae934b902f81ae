"""The files of a library as arrays: nothing unpickled, every complaint names the file."""

from __future__ import annotations

import functools
import io
import json
import math
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from triform.base.archive import open_zip
from triform.base.errors import UserError
from triform.datasets.library.fields import LARGEST_GRID
from triform.datasets.library.layout import (
    FAR,
    MAX_DEPTH,
    Library,
    LibraryObject,
)
from triform.geometry.cameras import Camera
from triform.images.read import read_depth_map
from triform.images.read import read_image as read_any_image

# Larger arrays are mapped instead of read, since mostly a part of them is wanted.
_MAPPED_BYTES = 4 * 2**20
_LONGEST_HEADER = 2**16
# Before the header of an array file: magic, version and length.
_PREFIX = 12
# A voxel file holds a byte for each cell of the finest grid, or wider numbers of a coarser one.
_LARGEST_VOXELS = LARGEST_GRID**3


# Arrays in one voxel file.
_MOST_ARRAYS = 100


class DamagedFile(UserError):
    """A file of a library that is not what its name says."""


def read_image(library: Library, path: str, size: int | None = None) -> np.ndarray:
    """A picture, (S, S, 4) uint8 RGBA with straight alpha.

    Args:
        library: where it is.
        path: its path there.
        size: S; None for the stored size. A picture that is not square gets transparent margins.

    Raises:
        UserError: it is missing or no picture.
    """
    return decode_image(library.read_bytes(path), path, size)


def decode_image(data: bytes, path: str, size: int | None = None) -> np.ndarray:
    """As `read_image`, from the file's content."""
    with _damage(path, "picture"):
        picture = open_picture(data, path)
        width, height = picture.size
        if width != height:
            square = Image.new("RGBA", (max(width, height),) * 2)
            square.paste(picture, ((square.width - width) // 2, (square.height - height) // 2))
            picture = square
        if size is not None and size != picture.width:
            # Pillow weighs colours by alpha here, so that nothing bleeds in from the background.
            whole = picture.width % size == 0
            method = Image.Resampling.BOX if whole else Image.Resampling.LANCZOS
            picture = picture.resize((size, size), method)
        return np.asarray(picture)


def open_picture(data: bytes, path: str) -> Image.Image:
    """A PNG as RGBA; nothing else is tried, whatever else Pillow knows.

    Raises:
        DamagedFile: it is none, or too large.
    """
    try:
        return read_any_image(data, path, kinds=("PNG",)).convert("RGBA")
    except UserError as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise DamagedFile(f"{path}: no readable picture: {reason}") from None


def decode_depth(data: bytes, path: str, size: int | None = None) -> np.ndarray:
    """A depth picture, (S, S) float32 along the camera's z; infinite where nothing is.

    Raises:
        UserError: no 16-bit PNG.
    """
    with _damage(path, "depth picture"):
        try:
            values = read_depth_map(data, path)
        except UserError as error:
            reason = str(error).removeprefix(f"{path}: ")
            raise DamagedFile(f"{path}: no readable depth picture: {reason}") from None
        if size is not None and values.shape != (size, size):
            picture = Image.fromarray(values)
            values = np.asarray(picture.resize((size, size), Image.Resampling.NEAREST))
        depth = values.astype(np.float32) * np.float32(MAX_DEPTH / 65536)
        depth[values >= FAR] = np.inf
        return depth


def read_array(library: Library, path: str) -> np.ndarray:
    """An array file (.npy); a large one on this machine is mapped.

    Raises:
        UserError: it is missing, damaged, or would have to be unpickled.
    """
    try:
        place = library.store.local_file(path)
        if place is not None and place.stat().st_size >= _MAPPED_BYTES:
            with place.open("rb") as stream:
                return _mapped(place, stream.read(_LONGEST_HEADER + _PREFIX), path)
    except OSError:
        pass  # reading it whole complains as for every other file
    data = library.read_bytes(path)
    return decode_array(data, path)


def decode_array(data: bytes, path: str) -> np.ndarray:
    """An array from the content of its file; read-only."""
    with _damage(path, "array"):
        dtype, shape, fortran, offset = array_header(data)
        count = math.prod(shape)
        if len(data) - offset < count * dtype.itemsize:
            raise ValueError(
                f"{len(data):,} bytes, but its header promises {count} x {dtype}: cut off"
            )
        values = np.frombuffer(data, dtype, count, offset)
        return values.reshape(shape, order="F" if fortran else "C")


def array_header(data: bytes) -> tuple[np.dtype[Any], tuple[int, ...], bool, int]:
    """Type, shape, Fortran order and offset of the numbers of an array file.

    Raises:
        ValueError: it is none, or holds Python objects.
    """
    if data[:6] != b"\x93NUMPY" or len(data) < 12:
        raise ValueError("not an array file (.npy) of numpy")
    wide = data[6] > 1
    length = int.from_bytes(data[8 : 12 if wide else 10], "little")
    offset = length + (12 if wide else 10)
    if length > _LONGEST_HEADER:
        raise ValueError("its header is too long")
    try:
        dtype, shape, fortran = _parse_header(data[:offset])
        if min(shape, default=0) < 0:
            raise ValueError(f"its header says {shape}")
        return dtype, shape, fortran, offset
    except (SyntaxError, TypeError, tokenize.TokenError, UnicodeError, RecursionError):
        # numpy reads the header as a Python literal, and complains as Python does.
        raise ValueError("its header is damaged") from None


@functools.lru_cache(maxsize=256)
def _parse_header(header: bytes) -> tuple[np.dtype[Any], tuple[int, ...], bool]:
    """Most files of a library begin alike, and numpy's own reading takes longer than the rest."""
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


def _mapped(file: Path, head: bytes, path: str) -> np.ndarray:
    with _damage(path, "array"):
        dtype, shape, fortran, offset = array_header(head)
        return np.memmap(
            file, dtype, mode="r", offset=offset, shape=shape, order="F" if fortran else "C"
        )


def as_rows(values: np.ndarray, path: str, what: str = "points") -> np.ndarray:
    """(N, 3) from (N, 3) or (3, N), whichever it is.

    Raises:
        UserError: neither, no numbers, or none at all.
    """
    if values.dtype.kind not in "biuf" or values.size == 0:
        held = "none" if values.size == 0 else str(values.dtype)[:80]
        raise DamagedFile(f"{path}: expected {what}, holds {held}")
    if values.ndim == 2 and values.shape[1] == 3:
        return values
    if values.ndim == 2 and values.shape[0] == 3:
        return values.T
    raise DamagedFile(f"{path}: {what} of shape {values.shape}; expected (N, 3) or (3, N)")


def read_voxels(library: Library, entry: LibraryObject, size: int) -> np.ndarray:
    """The voxels of an object, (size, size, size) bool; from a finer grid where that divides.

    A coarser cell is taken where any of its parts is: that is what "touched" means for it, too.

    Raises:
        UserError: there is no such grid, or it cannot be read.
    """
    fine = min((there for there in entry.voxels if there % size == 0), default=None)
    if fine is None:
        there = ", ".join(f"{size}^3" for size in entry.voxel_sizes) or "none"
        raise UserError(
            f"{library.root}: no voxels of {size}^3 for {entry.object_id} (there: {there}); make "
            f"them from its mesh: triform shapes prepare MESHES LIBRARY --voxel_size {size}"
        )
    path = entry.voxels[fine]
    grid = decode_voxels(library.read_bytes(path), path, fine)
    parts = fine // size
    pooled = grid.reshape(size, parts, size, parts, size, parts).any(axis=(1, 3, 5))
    return np.asarray(pooled)


def decode_voxels(data: bytes, path: str, size: int) -> np.ndarray:
    """Occupancy, (size, size, size) bool, index order x, y, z.

    Our own files are bit-packed; a plain array of the right shape in the archive will do as well.

    Raises:
        UserError: damaged, or a grid of another size.
    """
    with _damage(path, "voxel grid"):
        if not 1 <= size <= LARGEST_GRID:
            raise ValueError(f"{size}^3 voxels, at most {LARGEST_GRID}^3 are read")
        with open_zip(io.BytesIO(data), _MOST_ARRAYS) as archive:
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
    """Bits or cells of a grid; unpacked only where the header promises just that.

    Raises:
        ValueError: another array, or more bytes than it has.
    """
    info = archive.getinfo(member)
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{member} is packed in another way than numpy packs")
    with archive.open(info) as stream:
        head = stream.read(_PREFIX - 2)
        head += stream.read(2) if head[6:7] > b"\1" else b""
        head += stream.read(min(int.from_bytes(head[8:], "little"), _LONGEST_HEADER))
        dtype, shape, fortran, offset = array_header(head)
        bits = dtype == np.uint8 and math.prod(shape) == -(-(size**3) // 8)
        if not bits and not (shape == (size,) * 3 and dtype.kind in "biuf"):
            raise ValueError(f"{member} is {dtype} {shape}, expected {size}^3 bits or cells"[:200])
        promised = math.prod(shape) * dtype.itemsize
        if promised > _LARGEST_VOXELS or info.file_size != offset + promised:
            raise ValueError(
                f"{member} unpacks to {info.file_size:,} bytes, its header promises {promised:,}"
            )
        # To the end of the member: there its checksum is compared.
        values = np.frombuffer(stream.read(), dtype)
        return values.reshape(shape, order="F" if fortran else "C")


def decode_camera(data: bytes, path: str) -> Camera:
    """A camera.

    Raises:
        UserError: no JSON, or values are missing or impossible.
    """
    with _damage(path, "camera"):
        return Camera.from_json(json.loads(data), path)


class _damage:
    """Turns whatever a damaged file makes its reader raise into one line."""

    def __init__(self, path: str, what: str) -> None:
        self.path, self.what = path, what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        damage = (
            ValueError, KeyError, OSError, SyntaxError, EOFError, MemoryError, TypeError,
            OverflowError,
            zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError, IndexError,
            Image.DecompressionBombError,
        )  # fmt: skip
        if error is None or isinstance(error, UserError) or not isinstance(error, damage):
            return
        reason = " ".join(str(error).split()) or type(error).__name__
        if "BytesIO" in reason:
            reason = "it is no PNG"
        raise DamagedFile(f"{self.path}: no readable {self.what}: {reason}") from None
