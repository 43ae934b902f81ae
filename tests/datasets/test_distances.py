"""Distance fields of data sets: rounding, and that nothing is computed twice."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import trimesh

from triform.datasets import distances
from triform.datasets.distances import (
    COLOR_BAND,
    LEVELS,
    compute_colored_distances,
    compute_distances,
)
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


def test_the_same_mesh_in_another_folder_is_found(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A larger data set computes what is new alone."""
    cache = tmp_path / "cache"
    first = compute_distances(list_shapes([folder]), 16, cache=cache, processes=1)
    larger = tmp_path / "larger"
    larger.mkdir()
    for path in folder.glob("*.off"):
        (larger / path.name).write_bytes(path.read_bytes())
        os.utime(larger / path.name, (1, 1))
    trimesh.creation.box((1, 2, 3)).export(larger / "new.off")
    computed = []
    monkeypatch.setattr(
        distances,
        "signed_distance",
        lambda mesh, resolution: computed.append(mesh) or signed_distance(mesh, resolution),
    )
    second = compute_distances(list_shapes([larger]), 16, cache=cache, processes=1)
    assert len(computed) == 1
    np.testing.assert_array_equal(second.distances([0, 1, 2]), first.distances([0, 1, 2]))


def test_a_mesh_that_cannot_be_read_is_named_once(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "bad.off").write_text("OFF\n1 1 0\n")
    shapes = list_shapes([folder])
    table = compute_distances(shapes, 16, cache=tmp_path / "cache", processes=1)
    assert [name.split("/")[-1] for name, _ in table.failed] == ["bad"] and len(table) == 3
    assert sum("cannot be used" in record.message for record in caplog.records) == 1


def test_colors_are_means_of_the_near_surface(tmp_path: Path) -> None:
    """A box that is red to the left and blue to the right; black is 1, far away is 0."""
    mesh = trimesh.creation.box((1, 1, 1)).subdivide().subdivide()
    is_left = mesh.triangles_center[:, 0] < 0
    mesh.visual.face_colors = np.where(is_left[:, None], (255, 0, 0, 255), (0, 0, 255, 255))
    mesh.export(tmp_path / "box.ply")
    shapes = list_shapes([tmp_path])
    table = compute_colored_distances(shapes, 16, cache=tmp_path / "cache", processes=1)
    distance, colors = table.distances_and_colors([0])
    assert colors.shape == (1, 8, 8, 8, 3) and colors.dtype == np.uint8
    np.testing.assert_array_equal(distance, table.distances([0]))
    np.testing.assert_array_equal(
        distance, compute_distances(shapes, 16, processes=1).distances([0])
    )
    near = (np.abs(distance[0]) < COLOR_BAND).reshape(8, 2, 8, 2, 8, 2).any(axis=(1, 3, 5))
    np.testing.assert_array_equal(colors[0].any(axis=-1), near)
    assert (colors[0, 0][near[0]] == (255, 1, 1)).all()
    assert (colors[0, 7][near[7]] == (1, 1, 255)).all()


def test_a_mesh_without_colors_has_none(folder: Path) -> None:
    table = compute_colored_distances(list_shapes([folder]), 16, processes=1)
    assert not table.distances_and_colors([0, 1, 2])[1].any()
