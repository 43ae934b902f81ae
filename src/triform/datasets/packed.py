"""Arrays that are made once, row by row, and then mapped into memory."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from filelock import FileLock
from tqdm import tqdm

from triform.base.errors import UserError
from triform.base.paths import cache_dir


def packed(
    name: str,
    shape: tuple[int, ...],
    dtype: type[np.generic],
    make: Callable[[int], np.ndarray],
    what: str,
) -> np.ndarray:
    """An array file in the cache folder, mapped read-only; row by row made where it is not there.

    Args:
        name: Of the file.
        shape: Of the array.
        dtype: Of its numbers.
        make: Number of a row to the row; called from several threads.
        what: Its name in the progress bar.

    Raises:
        UserError: A row cannot be made, or the file cannot be written.
    """
    folder = cache_dir() / "packed"
    path = folder / f"{name}.npy"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):
            with contextlib.suppress(OSError, ValueError):
                found = np.load(path, mmap_mode="r")
                if found.shape == shape and found.dtype == dtype:
                    return found
            _write(path, shape, dtype, make, what)
        return np.load(path, mmap_mode="r")
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror or error}); free some space, or set "
            "TRIFORM_CACHE to another folder"
        ) from error


def _write(
    path: Path,
    shape: tuple[int, ...],
    dtype: type[np.generic],
    make: Callable[[int], np.ndarray],
    what: str,
) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(handle)
    part = Path(name)
    try:
        table = np.lib.format.open_memmap(part, mode="w+", dtype=dtype, shape=shape)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            rows = pool.map(make, range(shape[0]))
            for number, row in enumerate(
                tqdm(rows, what, shape[0], leave=False, disable=None, unit="object")
            ):
                table[number] = row
        table.flush()
        del table
        part.replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            part.unlink()
