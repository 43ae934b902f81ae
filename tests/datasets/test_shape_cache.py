"""Rows of the cache: a few are read without the others."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from triform.datasets.shape_cache import CachedRows, RecordFile

SIZE, COUNT = 100_000, 50


@pytest.fixture
def rows(tmp_path: Path) -> CachedRows:
    """Row n of 40 is record 49 - n, which is full of that number."""
    file = RecordFile(tmp_path / "rows.bin", {"name": "test"}, "i1", SIZE)
    file.repair()
    with file.path.open("ab") as stream:
        for number in range(COUNT):
            key = number.to_bytes(32, "little")
            stream.write(file.record(key, np.full(SIZE, number, np.int8)))
    return CachedRows(file, np.arange(COUNT - 1, 9, -1), [], [])


@pytest.mark.parametrize("indices", [[2, 0, 2], np.array([2, 0, 2]), slice(1, 3)])
def test_rows_in_any_order(rows: CachedRows, indices: list[int] | np.ndarray | slice) -> None:
    found = rows[indices]
    expected = [48, 47] if isinstance(indices, slice) else [47, 49, 47]
    assert found.shape == (len(expected), SIZE) and found.flags["C_CONTIGUOUS"]
    assert (found == np.array(expected)[:, None]).all()


def test_reading_two_rows_does_not_read_all(rows: CachedRows) -> None:
    """Records lie apart in the file: some functions of numpy would copy them all first."""
    rows[[0]]
    tracemalloc.start()
    try:
        rows[[3, 30]]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * SIZE  # of fifty
