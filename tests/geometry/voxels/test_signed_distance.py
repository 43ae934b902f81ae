"""Signed distance fields: values by hand, thin parts, hidden faces, colours."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from triform.geometry.mesh import Mesh, MeshError
from triform.geometry.voxels.signed_distance import TRUNCATION, signed_distance
from triform.geometry.voxels.small_triangles import MIN_HALF_THICKNESS

R = 32


def box(*extents: float, center: tuple[float, ...] = (0, 0, 0)) -> trimesh.Trimesh:
    solid = trimesh.creation.box(extents)
    solid.apply_translation(center)
    return solid


def as_mesh(solid: trimesh.Trimesh) -> Mesh:
    return Mesh(solid.vertices, solid.faces)


def centers(resolution: int) -> np.ndarray:
    """Voxel centres (R, R, R, 3) of normalized coordinates, in voxels."""
    axis = np.arange(resolution) + 0.5 - resolution / 2
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)


def box_distance(points: np.ndarray, half: tuple[float, float, float]) -> np.ndarray:
    """Signed distance to a box around the origin: outside a norm, inside a depth."""
    q = np.abs(points) - np.array(half)
    outside = np.linalg.norm(np.maximum(q, 0), axis=-1)
    return outside + np.minimum(q.max(axis=-1), 0)


def test_box_by_hand():
    field = signed_distance(as_mesh(box(1, 0.5, 0.25)), R).distance
    expected = np.clip(box_distance(centers(R), (R / 2, R / 4, R / 8)), -TRUNCATION, TRUNCATION)
    np.testing.assert_allclose(field, expected, atol=1e-5)


def test_sphere_is_exact_to_its_facets():
    solid = trimesh.creation.icosphere(subdivisions=3)
    field = signed_distance(as_mesh(solid), R).distance
    expected, _, _ = trimesh.proximity.closest_point_naive(
        trimesh.Trimesh(solid.vertices / 2 * R, solid.faces), centers(R)[16, 16]
    )
    distances = np.linalg.norm(centers(R)[16, 16] - expected, axis=1)
    np.testing.assert_allclose(np.abs(field[16, 16]), np.minimum(distances, TRUNCATION), atol=1e-5)
    assert (field[16, 16, 1:-1] < 0).all() and (field[0, 0] == TRUNCATION).all()


@pytest.mark.parametrize("thickness", [0.1, 0.4, 0.8, 1.0])
def test_thin_plate_gets_the_least_thickness(thickness: float):
    """Its two faces are moved; where it is thin, the field is that of a plate of 2 x 0.55."""
    field = signed_distance(as_mesh(box(R, thickness, R)), R).distance
    y = centers(R)[16, :, 16, 1]
    expected = np.clip(np.abs(y) - MIN_HALF_THICKNESS, -TRUNCATION, TRUNCATION)
    np.testing.assert_allclose(field[16, :, 16], expected, atol=1e-5)
    kept = signed_distance(as_mesh(box(R, thickness, R)), R, keep_thin=False).distance
    np.testing.assert_allclose(
        kept[16, :, 16], np.clip(np.abs(y) - thickness / 2, -3, 3), atol=1e-5
    )


def test_thick_plate_keeps_its_size():
    field = signed_distance(as_mesh(box(R, 3.0, R)), R).distance
    y = centers(R)[16, :, 16, 1]
    np.testing.assert_allclose(field[16, :, 16], np.clip(np.abs(y) - 1.5, -3, 3), atol=1e-5)


def test_single_sheet_becomes_a_pane():
    corners = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], dtype=float)
    sheet = Mesh(corners, np.array([[0, 1, 2], [0, 2, 3]]))
    field = signed_distance(sheet, R).distance
    z = centers(R)[16, 16, :, 2]
    np.testing.assert_allclose(
        field[16, 16], np.clip(np.abs(z) - MIN_HALF_THICKNESS, -3, 3), atol=1e-5
    )


def test_leg_thinner_than_a_voxel_is_whole():
    """A leg of 0.3 voxels, off the samples, holds a negative sample at every height."""
    table = trimesh.util.concatenate(
        [
            box(32, 2, 32, center=(0, 15, 0)),
            box(0.3, 30, 0.3, center=(-10.2, -1, -10.2)),
        ]
    )
    field = signed_distance(as_mesh(table), R).distance
    legs = field[2:10, :26, 2:10]
    assert (legs.min(axis=(0, 2)) < 0).all()


@pytest.mark.parametrize("size", [20, 21])
def test_hidden_faces_are_no_surface(size: int):
    """A box within a box: the distance inside is that to the outer one.

    The faces of the inner one of size 21 go through samples.
    """
    solid = trimesh.util.concatenate([box(32, 32, 32), box(size, size, size)])
    field = signed_distance(as_mesh(solid), R).distance
    expected = np.clip(box_distance(centers(R), (16, 16, 16)), -TRUNCATION, TRUNCATION)
    np.testing.assert_allclose(field, expected, atol=1e-5)


def test_winding_does_not_matter():
    solid = box(1, 0.5, 0.25)
    mixed = solid.faces.copy()
    mixed[::2] = mixed[::2, ::-1]
    np.testing.assert_array_equal(
        signed_distance(as_mesh(solid), R).distance,
        signed_distance(Mesh(solid.vertices, mixed), R).distance,
    )


def test_same_on_every_run():
    mesh = as_mesh(trimesh.creation.torus(1.0, 0.3))
    first, second = signed_distance(mesh, R), signed_distance(mesh, R)
    assert first.distance.tobytes() == second.distance.tobytes()


def test_colors_of_the_nearest_faces():
    solid = box(1, 1, 1)
    colors = np.zeros((12, 3), dtype=np.uint8)
    top = solid.face_normals[:, 1] > 0.5
    colors[top] = (200, 30, 10)
    colors[~top] = (10, 30, 200)
    field = signed_distance(Mesh(solid.vertices, solid.faces, colors), R, colors=True)
    assert field.colors is not None
    assert tuple(field.colors[16, R - 1, 16]) == (200, 30, 10)
    assert tuple(field.colors[16, 0, 16]) == (10, 30, 200)
    assert not field.colors[16, 16, 16].any()  # far from the surface
    assert signed_distance(as_mesh(solid), R, colors=True).colors is None


@pytest.mark.parametrize("resolution", [0, 1, 257])
def test_resolution_out_of_range(resolution: int):
    with pytest.raises(MeshError, match=f"resolution is {resolution}, choose 2 to 256"):
        signed_distance(as_mesh(box(1, 1, 1)), resolution)
