"""Self-intersections of solids whose crossings are known by construction."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from triform.geometry.mesh import Mesh
from triform.geometry.voxels.surface import is_watertight, voxels_to_mesh
from triform.metrics.self_intersection import self_intersecting_faces


def faces_of(solid: trimesh.Trimesh) -> np.ndarray:
    return self_intersecting_faces(Mesh(solid.vertices, solid.faces))


@pytest.mark.parametrize(
    "solid",
    [
        trimesh.creation.box((1, 1, 1)),
        trimesh.creation.icosphere(subdivisions=3),
        trimesh.creation.torus(1.0, 0.3),
        # Two that touch in a face, and one within another.
        trimesh.util.concatenate(
            [
                trimesh.creation.box(bounds=[(0, 0, 0), (1, 1, 1)]),
                trimesh.creation.box(bounds=[(1, 0, 0), (2, 1, 1)]),
                trimesh.creation.box(bounds=[(0.3, 0.3, 0.3), (0.6, 0.6, 0.6)]),
            ]
        ),
    ],
)
def test_sound_solids_have_none(solid: trimesh.Trimesh) -> None:
    assert not faces_of(solid).any()


def test_a_bar_through_a_plate() -> None:
    """The bar meets both halves of the plate's front and back, by all four of its sides.

    The diagonal of each square is crossed, so that both of its triangles are; each side of the bar
    passes through with both of its triangles, and its ends are free, as the plate's rim is.
    """
    plate = trimesh.creation.box((4, 4, 1))
    bar = trimesh.creation.box((1, 1, 6))
    crossed = faces_of(trimesh.util.concatenate([plate, bar]))
    is_front = np.abs(plate.face_normals[:, 2]) > 0.5
    is_side = np.abs(bar.face_normals[:, 2]) < 0.5
    np.testing.assert_array_equal(crossed, np.concatenate([is_front, is_side]))


def test_a_closed_mesh_may_cross_itself() -> None:
    """A sphere with one vertex drawn out through the opposite side: closed, in one part."""
    solid = trimesh.creation.icosphere(subdivisions=2)
    vertices = solid.vertices.copy()
    top = vertices[:, 1].argmax()
    vertices[top] = (0.013, -2.0, 0.017)
    mesh = Mesh(vertices, solid.faces)
    assert is_watertight(mesh)
    crossed = self_intersecting_faces(mesh)
    around = (solid.faces == top).any(axis=1)
    assert crossed[around].all() and crossed[~around].any()
    below = vertices[solid.faces].mean(axis=1)[:, 1] < 0
    assert not crossed[~around & ~below].any()


def test_marching_cubes_give_none() -> None:
    """Each cell's triangles stay within it."""
    mesh = voxels_to_mesh(np.random.default_rng(3).random((12, 12, 12)))
    assert not self_intersecting_faces(mesh).any()
