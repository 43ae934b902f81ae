import numpy as np
import pytest

from triform.geometry.mesh import Mesh, MeshError, normalize
from triform.geometry.render.cameras import Camera, camera_axes
from triform.geometry.render.face_attributes import build_face_attributes
from triform.geometry.render.rasterizer import rasterize
from triform.geometry.render.views import BACKGROUND, render, render_views


def paint(mesh, color):
    return Mesh(mesh.vertices, mesh.faces, np.tile(np.uint8(color), (len(mesh.faces), 1)))


def test_ball_is_a_disc(solids):
    image = render(solids.sphere(), 200, background=None)
    assert image.shape == (200, 200, 4) and image.dtype == np.uint8
    share = image[..., 3].mean() / 255
    assert share == pytest.approx(np.pi * 0.49**2, rel=0.01)
    covered = image[..., 3] > 0
    assert (covered != covered[::-1]).mean() < 0.002 and (
        covered != covered[:, ::-1]
    ).mean() < 0.002
    edge = (image[..., 3] > 0) & (image[..., 3] < 255)
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
    image = render(solids.sphere(rings=100), 128, background=None, samples=1)
    rows, columns = np.nonzero(image[..., 3] == 0)
    assert (np.hypot(rows - 63.5, columns - 63.5) > 60).all()


def test_winding_and_order_do_not_change_the_image(solids):
    mesh = solids.soup(4)
    order = np.random.default_rng(0).permutation(len(mesh.faces))
    turned = Mesh(mesh.vertices, mesh.faces[order][:, ::-1])
    difference = np.abs(render(mesh, 64).astype(int) - render(turned, 64))
    assert (difference > 8).mean() < 0.002


def test_colors_background_and_determinism(solids):
    ball = paint(solids.sphere(), [200, 40, 40])
    image = render(ball, 64)
    assert tuple(image[0, 0]) == BACKGROUND
    assert image[32, 32, 0] > 3 * image[32, 32, 1]
    assert np.array_equal(image, render(ball, 64))
    assert tuple(render(ball, 8, background=(1, 2, 3))[0, 0]) == (1, 2, 3)
    assert image[20, 20].sum() > image[50, 50].sum()  # the light comes from the upper left


def test_degenerate_faces_and_needles_are_drawn_or_skipped(solids):
    needle = Mesh(
        np.array([[0.0, 0, 0], [1, 1, 1], [0.5, 0.5, 0.5]]), np.array([[0, 1, 2], [0, 0, 1]])
    )
    assert render(needle, 32).shape == (32, 32, 3)


@pytest.mark.parametrize(("size", "samples"), [(0, 3), (10_000, 3), (10, 0), (10, 9)])
def test_sizes_out_of_range(solids, size, samples):
    with pytest.raises(MeshError, match=f"size {size} .* samples {samples}"):
        render(solids.sphere(), size, samples=samples)


def test_render_is_a_flat_view_over_the_background(solids):
    """One renderer and one light: `render` is a view of `render_views` from the same camera."""
    mesh = paint(solids.soup(3), [180, 90, 40])
    right, up, backward = camera_axes(0.6, 0.4)
    radius = np.linalg.norm(normalize(mesh).vertices, axis=1).max()
    fov = 2 * np.arctan(1 / (0.98 * np.sqrt(24)))
    camera = Camera(5 * radius * backward, right, -up, -backward, fov)
    (view,) = render_views(mesh, [camera], 48, samples=3, shading="flat")
    assert np.array_equal(render(mesh, 48, background=None), view.rgba)
    alpha = view.rgba[..., 3:] / 255
    expected = alpha * view.rgba[..., :3] + (1 - alpha) * np.array((1, 2, 3))
    image = render(mesh, 48, background=(1, 2, 3))
    assert image.shape == (48, 48, 3) and np.abs(image - expected).max() <= 0.5


def test_nothing_nearer_than_the_near_plane_is_drawn():
    """A floor one below the camera that goes on behind it; in row r its depth is 4 / (r - 3.5)."""
    corners = np.array([[-1000.0, 1, -1000], [1000, 1, -1000], [0, 1, 1000]])
    points = np.concatenate([corners, np.full((3, 2), np.nan)], axis=1)
    face_index, zbuffer = np.empty(64, np.int32), np.empty(64)
    targets = np.array([[0, 8, 1, 0]])
    floor = np.array([[0, 1, 2]])
    attributes = build_face_attributes(Mesh(corners, floor))
    for near, rows in ((2.0, [4, 5]), (1.5, [4, 5, 6]), (0.1, [4, 5, 6, 7])):
        rasterize(points, floor, attributes, 4.0, near, targets, face_index, zbuffer)
        expected = np.zeros((8, 8))
        expected[rows] = (np.array(rows)[:, None] - 3.5) / 4
        np.testing.assert_allclose(zbuffer.reshape(8, 8), expected, rtol=1e-5)
        assert np.array_equal(face_index.reshape(8, 8) == 0, expected > 0)
