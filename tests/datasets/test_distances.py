"""Distance fields of data sets: rounding, and that nothing is computed twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh

from triform.datasets import distances
from triform.datasets.distances import LEVELS, compute_distances
from triform.datasets.listing import list_shapes
from triform.geometry.voxels.signed_distance import TRUNCATION, signed_distance


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(3):
        trimesh.creation.box((1, 1, 1 + number)).export(tmp_path / f"box_{number}.off")
    return tmp_path


def test_rows_are_the_fields_to_half_a_step(folder: Path, tmp_path: Path) -> None:
    shapes = list_shapes([folder])
    table = compute_distances(shapes, 16, cache=tmp_path / "cache", processes=1)
    assert len(table) == 3 and table.failed == []
    rows = table.distances([2, 0])
    for row, shape in zip(rows, (shapes[2], shapes[0]), strict=True):
        expected = signed_distance(shape.load(), 16).distance
        np.testing.assert_allclose(row, expected, atol=TRUNCATION / LEVELS / 2 + 1e-6)
    assert rows.dtype == np.float32 and rows.shape == (2, 16, 16, 16)
    assert (rows.min(), rows.max()) == (-TRUNCATION, TRUNCATION)


def test_fields_are_read_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = list_shapes([folder])
    first = compute_distances(shapes, 16, cache=tmp_path / "cache", processes=1).distances(
        [0, 1, 2]
    )
    monkeypatch.setattr(distances, "signed_distance", None)
    second = compute_distances(shapes[::-1], 16, cache=tmp_path / "cache", processes=1)
    np.testing.assert_array_equal(second.distances([2, 1, 0]), first)
