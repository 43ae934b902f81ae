"""Surfaces of fields whose shape is known."""

from __future__ import annotations

import numpy as np
import pytest

from triform.geometry.mesh import MeshError
from triform.geometry.voxels.surface import is_watertight, main_component_share
from triform.systems.shape_flow.surface import field_to_mesh, is_empty

RESOLUTION = 32


def grid() -> np.ndarray:
    """Centres of samples (R, R, R, 3) in voxels, from the middle."""
    axis = np.arange(RESOLUTION) + 0.5 - RESOLUTION / 2
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)


def ball(center: tuple[float, float, float], radius: float) -> np.ndarray:
    return np.clip(np.linalg.norm(grid() - center, axis=-1) - radius, -3, 3)


@pytest.mark.parametrize("resolution", [0, 64])
def test_a_ball_is_a_closed_ball(resolution: int) -> None:
    mesh = field_to_mesh(ball((0, 0, 0), 9.3), resolution=resolution)
    radius = np.linalg.norm(mesh.vertices, axis=1) * RESOLUTION
    np.testing.assert_allclose(radius, 9.3, atol=0.06)
    assert is_watertight(mesh) and mesh.volume > 0


def test_a_near_part_gets_a_bridge_and_dust_goes() -> None:
    apart = np.minimum(ball((-6, 0, 0), 4), ball((5, 0, 0), 4))
    dust = np.minimum(apart, ball((0.5, 13.5, 0.5), 0.6))
    mesh = field_to_mesh(dust)
    assert is_watertight(mesh) and main_component_share(mesh) == 1
    low, high = mesh.bounds * RESOLUTION
    assert low[0] < -9.5 and high[0] > 8.5 and high[1] < 5


def test_nothing_inside_is_said() -> None:
    field = np.full((RESOLUTION,) * 3, 3.0)
    assert is_empty(field) and not is_empty(ball((0, 0, 0), 3))
    with pytest.raises(MeshError, match="empty"):
        field_to_mesh(field)


def test_colors_are_those_at_the_faces_and_few() -> None:
    half = np.zeros((3, RESOLUTION // 2, RESOLUTION // 2, RESOLUTION // 2))
    half[0], half[1:] = 1, -1
    half[:, RESOLUTION // 4 :] = -1
    half[2, RESOLUTION // 4 :] = 1
    mesh = field_to_mesh(ball((0, 0, 0), 9), half)
    assert mesh.face_colors is not None
    x = mesh.triangles.mean(axis=1)[:, 0] * RESOLUTION
    assert np.abs(mesh.face_colors[x < -3].astype(int) - (255, 0, 0)).max() <= 12
    assert np.abs(mesh.face_colors[x > 3].astype(int) - (0, 0, 255)).max() <= 12
    assert len(np.unique(mesh.face_colors, axis=0)) <= 8
