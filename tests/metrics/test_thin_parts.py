"""Thin parts of boxes whose thickness is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import trimesh

from triform.geometry.mesh import Mesh
from triform.metrics.thin_parts import VOXEL, thin_part_recall


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
