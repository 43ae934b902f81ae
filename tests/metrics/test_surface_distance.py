"""Surface distances against values worked out by hand and against trimesh."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from triform.geometry.mesh import Mesh
from triform.geometry.sampling.triangles import distances_to_mesh
from triform.metrics import surface_distance as module
from triform.metrics.surface_distance import (
    VOXEL,
    chamfer_distance,
    f_score,
    surface_distance,
)


def sheet(z: float, tilt: float = 0.0, width: float = 1.0) -> Mesh:
    """The square [0, width] x [0, 1] at height z, tilted by degrees around its edge x = 0."""
    rise = width * np.tan(np.radians(tilt))
    corners = [[0, 0, z], [width, 0, z + rise], [width, 1, z + rise], [0, 1, z]]
    return Mesh(np.array(corners, dtype=float), np.array([[0, 1, 2], [0, 2, 3]]))


def test_distances_equal_trimesh():
    rng = np.random.default_rng(0)
    solid = trimesh.creation.icosphere(subdivisions=2)
    points = rng.normal(size=(200, 3)) * 1.5
    distances, faces = distances_to_mesh(points, Mesh(solid.vertices, solid.faces))
    _, expected, _ = trimesh.proximity.closest_point_naive(solid, points)
    np.testing.assert_allclose(distances, expected, rtol=1e-12)
    closest = trimesh.triangles.closest_point(solid.triangles[faces], points)
    np.testing.assert_allclose(np.linalg.norm(points - closest, axis=1), expected, rtol=1e-9)


def test_degenerate_triangles_are_segments_and_points():
    corners = np.array([[0, 0, 0], [1, 0, 0], [1, 0, 0], [5, 5, 5], [5, 5, 5], [5, 5, 5]], float)
    mesh = Mesh(corners, np.arange(6).reshape(2, 3))
    distances, faces = distances_to_mesh(np.array([[0.5, 2, 0], [5, 5, 7.0]]), mesh)
    np.testing.assert_allclose(distances, [2, 2])
    np.testing.assert_array_equal(faces, [0, 1])


def test_parallel_sheets_by_hand():
    """0.4 voxels apart: every point is at that distance, within 1/64 and 1/128, flat."""
    result = surface_distance(sheet(0.4 * VOXEL), sheet(0.0), count=2000)
    assert result.error == pytest.approx(0.4, abs=1e-9)
    assert (result.f_score_64, result.f_score_128) == (1.0, 1.0)
    assert (result.missing, result.extra) == (0.0, 0.0)
    assert result.flat_normal_error == pytest.approx(0.0, abs=1e-5)
    assert np.isnan(result.edge_normal_error)


def test_half_of_the_target_missing():
    """Half the width: all of the prediction is right, half of the target but a voxel is missing.

    Tolerance: a share of 20,000 points has a standard deviation of at most 0.0036.
    """
    result = surface_distance(sheet(0.0, width=0.5), sheet(0.0), count=20000)
    assert result.extra == 0.0
    assert result.missing == pytest.approx(0.5 - VOXEL, abs=0.01)
    recall = 0.5 + VOXEL
    assert result.f_score_64 == pytest.approx(2 * recall / (1 + recall), abs=0.01)
    # The mean over the missing half of distances that grow from 0 to 1/2, in voxels, halved.
    assert result.error == pytest.approx(0.5 * 0.25 / 2 / VOXEL, rel=1e-2)


def test_extra_is_not_missing():
    result = surface_distance(sheet(0.0), sheet(0.0, width=0.5), count=20000)
    assert result.missing == 0.0
    assert result.extra == pytest.approx(0.5 - VOXEL, abs=0.01)


def test_flat_normal_error_is_the_tilt():
    result = surface_distance(sheet(0.0, tilt=0.5), sheet(0.0), count=4000)
    assert result.flat_normal_error == pytest.approx(0.5, abs=1e-4)


def test_edge_normal_error_of_a_chamfered_edge():
    """An edge of 90 degrees that is cut off at 45 degrees by less than a voxel."""
    cut = VOXEL / 2
    roof = [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [1, 0, -1], [1, 1, -1]]
    size = np.array([0.1, 0.1, 0.1])  # points closer than a voxel can tell where the edge is
    target = Mesh(
        np.array(roof, float) * size, np.array([[0, 1, 2], [0, 2, 3], [1, 4, 5], [1, 5, 2]])
    )
    corners = [
        *([0, 0, 0], [0.1 - cut, 0, 0], [0.1 - cut, 0.1, 0], [0, 0.1, 0]),
        *([0.1, 0, -cut], [0.1, 0.1, -cut], [0.1, 0, -0.1], [0.1, 0.1, -0.1]),
    ]
    faces = [[0, 1, 2], [0, 2, 3], [1, 4, 5], [1, 5, 2], [4, 6, 7], [4, 7, 5]]
    chamfered = Mesh(np.array(corners, float), np.array(faces))
    same = surface_distance(target, target, count=4000)
    result = surface_distance(chamfered, target, count=4000)
    assert same.edge_normal_error == pytest.approx(0.0, abs=1e-5)
    assert result.flat_normal_error == pytest.approx(0.0, abs=1e-5)
    # Within a voxel of the edge lie the chamfer, sqrt(2) cut wide and 45 degrees off, and of each
    # side the rest of the voxel.
    slanted, straight = np.sqrt(2) * cut, 2 * (VOXEL - cut)
    assert result.edge_normal_error == pytest.approx(45 * slanted / (slanted + straight), rel=0.05)


def test_f_score_by_hand():
    accuracy, completeness = np.array([0.0, 2.0]), np.array([0.0, 0.0, 0.0, 3.0])
    # Precision 1/2, recall 3/4.
    assert f_score(accuracy, completeness, 1.0) == pytest.approx(0.6)
    assert f_score(accuracy, completeness, 2.0) == pytest.approx(2 * 0.75 / 1.75)
    assert f_score(np.array([2.0]), np.array([2.0]), 1.0) == 0.0


def test_chamfer_by_hand():
    first = np.array([[0.0, 0, 0], [1, 0, 0]])
    second = np.array([[0.0, 0, 2]])
    assert chamfer_distance(first, second) == pytest.approx((4 + 5) / 2 + 4)


def test_thresholds_that_published_figures_were_measured_with():
    assert VOXEL == 1 / 64 and module.FLAT_RADIUS == 1.5 / 64
    assert (module.FLAT_DEGREES, module.EDGE_DEGREES) == (10.0, 30.0)


@pytest.mark.parametrize(
    ("degrees", "distance", "expected"),
    [
        (9.9, 1.4, (True, False)),
        (10.1, 1.4, (False, False)),
        (29.9, 0.9, (False, False)),
        (30.1, 0.9, (False, True)),
        (30.1, 1.1, (False, False)),  # within the flat radius, but no voxel away
        (80.0, 1.6, (True, False)),  # too far to matter
    ],
)
def test_what_is_flat_and_what_is_an_edge(degrees, distance, expected):
    """A query on one of three points; the normal of the last, so many voxels away, differs."""
    points = np.array([[0, 0, 0], [0.1, 0, 0], [0.2, 0, 0], [0, distance, 0]]) * VOXEL
    turned = [0, np.sin(np.radians(degrees)), np.cos(np.radians(degrees))]
    normals = np.array([[0, 0, 1.0], [0, 0, 1], [0, 0, -1], turned])
    flat, edge = module._flat_and_edge(points, normals, np.zeros((1, 3)))
    assert (bool(flat[0]), bool(edge[0])) == expected


def test_two_points_are_too_few_to_tell():
    points, normals = np.array([[0.0, 0, 0], [0, 0, 0]]), np.array([[0, 0, 1.0], [0, 0, 1]])
    flat, edge = module._flat_and_edge(points, normals, np.zeros((1, 3)))
    assert not flat[0] and not edge[0]
    three = np.zeros((3, 3)), np.tile([0, 0, 1.0], (3, 1))
    flat, edge = module._flat_and_edge(*three, np.zeros((1, 3)))
    assert flat[0] and not edge[0]


def test_exactly_a_voxel_apart():
    """Within the threshold of the F-score; neither missing nor extra, and not near."""
    result = surface_distance(sheet(VOXEL), sheet(0.0), count=200)
    assert result.error == 1.0 and (result.f_score_64, result.f_score_128) == (1.0, 0.0)
    assert (result.missing, result.extra) == (0.0, 0.0) and np.isnan(result.flat_normal_error)


def test_points_are_those_of_the_seed(monkeypatch):
    """Of the target by the seed, of the prediction by the next one; 30,000 of each."""
    asked = []

    def sample(mesh, count, seed):
        asked.append((mesh, count, seed))
        return sample_surface(mesh, 50, seed)

    sample_surface = module.sample_surface
    monkeypatch.setattr(module, "sample_surface", sample)
    prediction, target = sheet(0.001), sheet(0.0)
    surface_distance(prediction, target)
    surface_distance(prediction, target, count=7, seed=5)
    assert [each[1:] for each in asked] == [(30_000, 0), (30_000, 1), (7, 5), (7, 6)]
    assert all(each[0] is mesh for each, mesh in zip(asked, [target, prediction] * 2, strict=True))
