"""Thin parts of boxes whose thickness is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import trimesh

from triform.geometry.mesh import Mesh
from triform.metrics.thin_parts import VOXEL, is_thin, thin_part_recall


def box(extents: tuple[float, float, float], center: tuple[float, float, float]) -> Mesh:
    solid = trimesh.creation.box(extents)
    return Mesh(solid.vertices + np.array(center), solid.faces)


def join(*meshes: Mesh) -> Mesh:
    offsets = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    return Mesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate(
            [mesh.faces + offset for mesh, offset in zip(meshes, offsets[:-1], strict=True)]
        ),
    )


CUBE = box((0.4, 0.4, 0.4), (-0.25, 0, 0))
PANE = box((0.4, 0.4, VOXEL), (0.25, 0, 0))


def test_pane_is_thin_and_cube_is_not() -> None:
    """Without the pane its surface is lost, and with it nothing is."""
    target = join(CUBE, PANE)
    recall, share = thin_part_recall(CUBE, target)
    assert recall == 0.0
    # The narrow sides of the pane are seen along its length.
    assert share == pytest.approx(2 * 0.16 / (8 * 0.16 + 4 * 0.4 * VOXEL), abs=0.01)
    assert thin_part_recall(target, target) == (1.0, share)


def test_half_of_the_pane() -> None:
    half = box((0.2, 0.4, VOXEL), (0.15, 0, 0))
    recall, _ = thin_part_recall(join(CUBE, half), join(CUBE, PANE))
    # The end of the half pane is within 1/64 of a strip of that width.
    assert recall == pytest.approx((0.2 + VOXEL) / 0.4, abs=0.02)


@pytest.mark.parametrize(("thickness", "expected"), [(2.0, True), (4.5, False)])
def test_threshold(thickness: float, expected: bool) -> None:
    """Plates of two and of four and a half voxels of 1/64; three is the limit."""
    plate = box((0.8, 0.8, thickness * VOXEL), (0, 0, 0))
    recall, share = thin_part_recall(plate, plate)
    assert (share > 0.5) is expected
    assert math.isnan(recall) is not expected


def test_a_single_sheet_is_thin() -> None:
    corners = np.array([[-0.4, -0.4, 0], [0.4, -0.4, 0], [0.4, 0.4, 0], [-0.4, 0.4, 0]])
    sheet = Mesh(corners, np.array([[0, 1, 2], [0, 2, 3]]))
    assert thin_part_recall(sheet, sheet) == (1.0, 1.0)


@pytest.mark.parametrize("axis", range(3))
def test_thickness_of_voxels_along_each_axis(axis: int) -> None:
    """A plate of two voxels and a block of eight, side by side, in a grid of 32."""
    size = 32
    occupancy = np.zeros((size,) * 3, dtype=bool)
    occupancy[2:14, 20:22, 3:9] = True
    occupancy[18:30, 20:28, 3:9] = True
    points = np.array([[8, 22, 5], [24, 28, 5], [8, 20, 5], [24, 20, 5]]) / size - 0.5
    normals = np.array([[0, 1, 0], [0, 1, 0], [0, -1, 0], [0, -1, 0]], dtype=float)
    order = np.roll(np.arange(3), axis)
    turned = is_thin(points[:, order], normals[:, order], occupancy.transpose(order), 3 / size)
    assert turned.tolist() == [True, False, True, False]


@pytest.mark.parametrize(("thickness", "expected"), [(4, True), (5, False)])
def test_contact_is_allowed_for(thickness: int, expected: bool) -> None:
    """Three voxels are the limit; one and a half more may only be touched."""
    occupancy = np.zeros((32,) * 3, dtype=bool)
    occupancy[:, 10 : 10 + thickness] = True
    point = np.array([[16.5, 10, 16.5]]) / 32 - 0.5
    assert is_thin(point, np.array([[0.0, -1.0, 0.0]]), occupancy, 3 / 32).tolist() == [expected]
