"""The cache computes an array once and maps it afterwards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from triform.base.errors import UserError
from triform.base.paths import cache_dir
from triform.datasets.array_cache import cached_array


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIFORM_CACHE", str(tmp_path))


def test_computed_once_and_mapped() -> None:
    calls: list[int] = []

    def make_row(index: int) -> np.ndarray:
        calls.append(index)
        return np.array([index, 10 * index])

    first = cached_array("rows", (3, 2), np.int32, make_row, "rows")
    repeated = cached_array("rows", (3, 2), np.int32, make_row, "rows")
    assert sorted(calls) == [0, 1, 2]
    assert isinstance(repeated, np.memmap) and not repeated.flags.writeable
    assert first.tolist() == repeated.tolist() == [[0, 0], [1, 10], [2, 20]]


def test_another_shape_or_a_damaged_file_is_computed_again() -> None:
    cached_array("rows", (3, 1), np.int32, lambda index: np.array([index]), "rows")
    other = cached_array("rows", (2, 1), np.int32, lambda index: np.array([index + 5]), "rows")
    assert other.tolist() == [[5], [6]]
    (path,) = cache_dir().rglob("rows.npy")
    path.write_bytes(b"damaged")
    fresh = cached_array("rows", (2, 1), np.int32, lambda index: np.array([index + 7]), "rows")
    assert fresh.tolist() == [[7], [8]]


def test_a_failed_row_leaves_no_file() -> None:
    def make_row(index: int) -> np.ndarray:
        raise UserError("row 0: damaged")

    with pytest.raises(UserError, match="row 0: damaged"):
        cached_array("rows", (2, 1), np.int32, make_row, "rows")
    assert [path.name for path in cache_dir().rglob("*") if path.is_file()] in (
        [],
        ["rows.npy.lock"],
    )


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "packed").write_text("in the way")
    with pytest.raises(UserError, match="set TRIFORM_CACHE to another folder"):
        cached_array("rows", (1, 1), np.int32, lambda index: np.array([index]), "rows")
