import time

import numpy as np
import pytest

from triform.geometry.mesh import Mesh, MeshError
from triform.geometry.paint import PLAIN
from triform.geometry.raster import rasterize
from triform.geometry.render import BACKGROUND, camera_axes, render


def paint(mesh, color):
    return Mesh(mesh.vertices, mesh.faces, np.tile(np.uint8(color), (len(mesh.faces), 1)))


def test_ball_is_a_disc(solids):
    picture = render(solids.sphere(), 200, background=None)
    assert picture.shape == (200, 200, 4) and picture.dtype == np.uint8
    share = picture[..., 3].mean() / 255
    assert share == pytest.approx(np.pi * 0.49**2, rel=0.01)
    covered = picture[..., 3] > 0
    assert (covered != covered[::-1]).mean() < 0.002 and (
        covered != covered[:, ::-1]
    ).mean() < 0.002
    edge = (picture[..., 3] > 0) & (picture[..., 3] < 255)
    assert edge.sum() > 300  # anti-aliased


def test_left_right_up_and_near(solids):
    """+X to the right, +Y up and +Z towards the camera of azimuth 0; then from the right side."""
    blocks = solids.join(
        solids.box((0.3, -0.05, -0.05), (0.5, 0.05, 0.05)),
        solids.box((-0.05, 0.3, -0.05), (0.05, 0.5, 0.05)),
        solids.box((-0.05, -0.05, 0.3), (0.05, 0.05, 0.5)),
        solids.box((-0.5, -0.5, -0.5), (-0.49, -0.49, -0.49)),
        solids.box((-0.05, -0.05, -0.5), (0.05, 0.05, -0.3)),
    )
    colors = np.repeat(
        np.uint8([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9], [255, 255, 0]]), 12, 0
    )
    mesh = Mesh(blocks.vertices, blocks.faces, colors)
    front = render(mesh, 99, 0.0, 0.0).astype(int)
    assert front[49, 75].argmax() == 0 and front[49, 75, 1] < 50
    assert front[24, 49].argmax() == 1 and front[24, 49, 0] < 50
    assert front[49, 49].argmax() == 2 and front[49, 49, 0] < 50  # blue hides yellow
    side = render(mesh, 99, np.pi / 2, 0.0).astype(int)
    assert side[49, 49].argmax() == 0 and side[49, 49, 2] < 50
    assert side[49, 24].argmax() == 2 and side[49, 24, 0] < 50  # the front is now on the left
    top = render(mesh, 99, 0.0, np.pi / 2).astype(int)
    assert top[49, 49].argmax() == 1 and top[75, 49].argmax() == 2


def test_camera_axes_are_right_handed_and_orthonormal():
    for azimuth, elevation in np.random.default_rng(0).uniform(-3, 3, (20, 2)):
        axes = camera_axes(azimuth, elevation)
        assert np.allclose(axes @ axes.T, np.eye(3)) and np.linalg.det(axes) == pytest.approx(1)


def test_both_sides_of_a_sheet_are_seen_and_lit(solids):
    sheet = Mesh(
        np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0.0]]),
        np.array([[0, 1, 2], [0, 2, 3]]),
    )
    for azimuth in (0.0, np.pi):
        for mesh in (sheet, Mesh(sheet.vertices, sheet.faces[:, ::-1])):
            middle = render(mesh, 50, azimuth, 0.0)[25, 25]
            assert 120 < middle[0] < 250


def test_no_cracks_between_faces(solids):
    picture = render(solids.sphere(rings=100), 128, background=None, samples=1)
    rows, columns = np.nonzero(picture[..., 3] == 0)
    assert (np.hypot(rows - 63.5, columns - 63.5) > 60).all()


def test_winding_and_order_do_not_change_the_picture(solids):
    mesh = solids.soup(4)
    order = np.random.default_rng(0).permutation(len(mesh.faces))
    turned = Mesh(mesh.vertices, mesh.faces[order][:, ::-1])
    difference = np.abs(render(mesh, 64).astype(int) - render(turned, 64))
    assert (difference > 8).mean() < 0.002


def test_colors_background_and_determinism(solids):
    ball = paint(solids.sphere(), [200, 40, 40])
    picture = render(ball, 64)
    assert tuple(picture[0, 0]) == BACKGROUND
    assert picture[32, 32, 0] > 3 * picture[32, 32, 1]
    assert np.array_equal(picture, render(ball, 64))
    assert tuple(render(ball, 8, background=(1, 2, 3))[0, 0]) == (1, 2, 3)
    assert picture[20, 20].sum() > picture[50, 50].sum()  # the light comes from the upper left


def test_degenerate_faces_and_needles_are_drawn_or_skipped(solids):
    needle = Mesh(
        np.array([[0.0, 0, 0], [1, 1, 1], [0.5, 0.5, 0.5]]), np.array([[0, 1, 2], [0, 0, 1]])
    )
    assert render(needle, 32).shape == (32, 32, 3)


@pytest.mark.parametrize(("size", "samples"), [(0, 3), (10_000, 3), (10, 0), (10, 9)])
def test_sizes_out_of_range(solids, size, samples):
    with pytest.raises(MeshError, match=f"size {size} .* samples {samples}"):
        render(solids.sphere(), size, samples=samples)


def test_a_picture_takes_milliseconds(solids):
    mesh = solids.sphere(rings=80)
    render(mesh, 16)
    start = time.process_time()
    for azimuth in range(5):
        render(mesh, 224, azimuth, samples=2)
    assert time.process_time() - start < 1.0


def test_nothing_nearer_than_the_near_plane_is_drawn():
    """A floor one below the camera that goes on behind it; in row r its depth is 4 / (r - 3.5)."""
    corners = np.array([[-1000.0, 1, -1000], [1000, 1, -1000], [0, 1, 1000]])
    points = np.concatenate([corners, np.full((3, 2), np.nan)], axis=1)
    nearest, inverse = np.empty(64, np.int32), np.empty(64)
    grid = np.array([[0, 8, 1, 0]])
    floor = np.array([[0, 1, 2]])
    for near, rows in ((2.0, [4, 5]), (1.5, [4, 5, 6]), (0.1, [4, 5, 6, 7])):
        rasterize(points, floor, *PLAIN.holes, 4.0, near, grid, nearest, inverse)
        expected = np.zeros((8, 8))
        expected[rows] = (np.array(rows)[:, None] - 3.5) / 4
        np.testing.assert_allclose(inverse.reshape(8, 8), expected, rtol=1e-5)
        assert np.array_equal(nearest.reshape(8, 8) == 0, expected > 0)
