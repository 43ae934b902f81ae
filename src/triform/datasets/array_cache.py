"""Cache of large arrays, computed once, row by row, and memory-mapped."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from filelock import FileLock

from triform.base.errors import UserError
from triform.base.paths import cache_dir
from triform.base.progress import progress_bar


def cached_array(
    name: str,
    shape: tuple[int, ...],
    dtype: type[np.generic],
    make_row: Callable[[int], np.ndarray],
    description: str,
) -> np.ndarray:
    """Memory-mapped, read-only array from the cache folder; computed if it is not there.

    Args:
        name: of the file.
        shape: of the array.
        dtype: of the array.
        make_row: returns the row of an index; called from several threads.
        description: label of the progress bar.

    Raises:
        UserError: a row cannot be computed, or the file cannot be written.
    """
    folder = cache_dir() / "packed"
    path = folder / f"{name}.npy"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):
            with contextlib.suppress(OSError, ValueError):
                cached: np.ndarray = np.load(path, mmap_mode="r")
                if cached.shape == shape and cached.dtype == dtype:
                    return cached
            _write(path, shape, dtype, make_row, description)
        array: np.ndarray = np.load(path, mmap_mode="r")
        return array
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror or error}); free some space, or set "
            "TRIFORM_CACHE to another folder"
        ) from error


def _write(
    path: Path,
    shape: tuple[int, ...],
    dtype: type[np.generic],
    make_row: Callable[[int], np.ndarray],
    description: str,
) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(handle)
    partial = Path(name)
    try:
        array = np.lib.format.open_memmap(partial, mode="w+", dtype=dtype, shape=shape)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            rows = pool.map(make_row, range(shape[0]))
            for index, row in enumerate(
                progress_bar(rows, desc=description, total=shape[0], unit="object")
            ):
                array[index] = row
        array.flush()
        del array
        partial.replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            partial.unlink()
