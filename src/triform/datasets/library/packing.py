"""All pictures of a library, decoded once into one file that is mapped into memory.

Unpacking a PNG takes a millisecond, which is most of a step of a small network on a processor.
From the packed file a picture is a copy of a few kilobytes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from filelock import FileLock
from tqdm import tqdm

from triform.base.errors import UserError
from triform.base.paths import cache_dir
from triform.datasets.library.decoding import read_image
from triform.datasets.library.layout import Library, LibraryObject

# Raised when the same files give another packed file.
_VERSION = 1
_HEADER_BYTES = 128
# For fewer pictures than this, starting processes costs more than it saves.
_FEW = 500
_CHUNK = 64


@dataclasses.dataclass(frozen=True)
class PackedImages:
    """Pictures of one size in one file.

    Attributes:
        path: an array file (.npy), (rows, 4, S, S) uint8 RGBA.
        rows: path of a picture in the library -> its row.
        size: S.
    """

    path: Path
    rows: dict[str, int]
    size: int

    def open(self) -> np.ndarray:
        """The array, mapped read-only; each process has to open its own."""
        mapped: np.ndarray = np.load(self.path, mmap_mode="r")
        return mapped


def pack(
    library: Library,
    size: int,
    *,
    objects: Sequence[LibraryObject] | None = None,
    cache: Path | None = None,
    processes: int = 0,
) -> PackedImages:
    """Decode the pictures of a library at one size, or find the file where that was done.

    Args:
        library: where the pictures are.
        size: pixels along each side.
        objects: whose pictures; by default of all.
        cache: folder for the file; by default in the house's cache folder.
        processes: worker processes; 0 takes one for each core.

    Raises:
        UserError: a picture is damaged, or there is no room for the file.
    """
    chosen = library.objects if objects is None else objects
    paths = sorted({path for entry in chosen for path in entry.images})
    if not paths:
        raise UserError(
            f"{library.root}: no pictures to pack; make them with "
            "`triform shapes prepare MESHES LIBRARY --views 24`"
        )
    folder = cache_dir() / "pictures" if cache is None else cache
    path = folder / f"{_key(library, paths)}_{size}.npy"
    rows = {name: row for row, name in enumerate(paths)}
    packed = PackedImages(path, rows, size)
    if path.is_file():
        return packed
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):
            # Another process may have made it while this one waited.
            if not path.is_file():
                _make(library, paths, size, path, processes or os.cpu_count() or 1)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror or error}); "
            "free some space, or set TRIFORM_CACHE to another folder"
        ) from None
    return packed


def _key(library: Library, paths: Sequence[str]) -> str:
    """Changes when a picture does: sizes and times notice that without reading gigabytes."""
    facts = library.store.facts("images")
    digest = hashlib.sha256(f"{_VERSION}\n".encode())
    for path in paths:
        digest.update(f"{path}\t{facts.get(path, '')}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:32]


def _make(library: Library, paths: Sequence[str], size: int, path: Path, processes: int) -> None:
    num_bytes = len(paths) * 4 * size * size
    free = shutil.disk_usage(path.parent).free
    if num_bytes > free:
        raise UserError(
            f"{path.parent}: {len(paths):,} pictures of {size} x {size} pixels need "
            f"{num_bytes / 2**30:.1f} GiB, {free / 2**30:.1f} are free; lower --image_size, "
            "or set TRIFORM_CACHE to another folder"
        )
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(handle)
    part = Path(name)
    try:
        table = np.lib.format.open_memmap(
            part, mode="w+", dtype=np.uint8, shape=(len(paths), 4, size, size)
        )
        del table
        chunks = [
            range(start, min(start + _CHUNK, len(paths))) for start in range(0, len(paths), _CHUNK)
        ]
        with tqdm(
            total=len(paths), desc="pictures", unit="picture", disable=None, leave=False
        ) as bar:
            if processes == 1 or len(paths) < _FEW or library.store.is_memory:
                for chunk in chunks:
                    bar.update(
                        _fill(library, [paths[row] for row in chunk], chunk.start, size, part)
                    )
            else:
                from joblib import Parallel, delayed

                # A library's tables may be large: workers get the store alone.
                bare = Library(library.store, [], {})
                for done in Parallel(processes, return_as="generator_unordered")(
                    delayed(_fill)(bare, [paths[row] for row in chunk], chunk.start, size, part)
                    for chunk in chunks
                ):
                    bar.update(done)
        os.replace(part, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            part.unlink()


def _fill(library: Library, paths: Sequence[str], start: int, size: int, part: Path) -> int:
    """Decode some pictures into their rows; no two calls write the same rows."""
    table = np.load(part, mmap_mode="r+")
    for row, path in enumerate(paths, start):
        table[row] = np.moveaxis(read_image(library, path, size), 2, 0)
    table.flush()
    return len(paths)
