import math
import time
from dataclasses import replace

import numpy as np
import pytest

from triform.geometry.appearance import Appearance, Material
from triform.geometry.mesh import Mesh, MeshError, normalize
from triform.geometry.render.cameras import Camera, even_cameras, look_at_origin
from triform.geometry.render.views import render_views

FRONT = look_at_origin(np.array([0.0, 0, 1]), fov=math.pi / 2, distance=2.0)
BACK = look_at_origin(np.array([0.0, 0, -1]), fov=math.pi / 2, distance=2.0)
# A square that fills the middle half of an image of FRONT.
SQUARE = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0.0]])
FACES = np.array([[0, 1, 2], [0, 2, 3]])
UV = ((SQUARE[:, :2] + 1) / 2)[FACES]
WHITE = np.uint8([255, 255, 255])


def view(mesh, camera=FRONT, size=64, **options):
    options = {"normalize": False, "shading": "none", **options}
    return next(render_views(mesh, [camera], size, **options))


def quad(texture=None, opacity=1.0, color=WHITE, vertices=SQUARE, uv=UV):
    material = Material(np.uint8(color), texture, opacity)
    return Mesh(vertices, FACES, None, Appearance(np.zeros(2, int), (material,), uv))


def stack(*meshes):
    """One mesh of quads, each with its own material."""
    looks = [mesh.appearance for mesh in meshes]
    materials = tuple(appearance.materials[0] for appearance in looks)
    return Mesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate([mesh.faces + 4 * i for i, mesh in enumerate(meshes)]),
        None,
        Appearance(
            np.repeat(np.arange(len(meshes)), 2), materials, np.concatenate([x.uv for x in looks])
        ),
    )


def traced(mesh, camera, size):
    """Depth by testing every ray against every face, and how far rays keep from edges."""
    rays = camera.rays(size).reshape(-1, 1, 3)
    a, b, c = np.moveaxis(mesh.triangles - camera.origin, 1, 0)
    normal = np.cross(b - a, c - a)
    with np.errstate(all="ignore"):
        depth = (a * normal).sum(-1) / (rays * normal).sum(-1)
        at = rays * depth[..., None]
        shares = [
            (np.cross(q - p, at - p) * normal).sum(-1) / (normal**2).sum(-1)
            for p, q in ((a, b), (b, c), (c, a))
        ]
        inside = np.nan_to_num(np.min(shares, axis=0), nan=-1.0)
    depth = np.where((inside >= 0) & (depth > 0), depth, np.inf)
    unsure = (np.abs(inside) < 1e-6).any(axis=1)
    return depth.min(axis=1).reshape(size, size), unsure.reshape(size, size)


@pytest.mark.parametrize("seed", range(6))
def test_depth_is_that_of_traced_rays(solids, seed):
    """Random triangles from outside, from close by and from among them."""
    mesh = normalize(solids.soup(seed))
    for distance in (2.0, 0.7, 0.2):
        far = even_cameras(5, seed=seed)[seed % 5]
        camera = replace(far, origin=far.origin / 2 * distance)
        expected, unsure = traced(mesh, camera, 48)
        for samples in (1, 2, 3):
            depth = view(mesh, camera, 48, samples=samples).depth
            # What is too near is left out.
            sure = ~unsure & ~(expected < 1e-3)
            assert sure.mean() > 0.9
            assert np.array_equal(np.isfinite(depth)[sure], np.isfinite(expected)[sure])
            both = sure & np.isfinite(expected)
            assert np.allclose(depth[both], expected[both], rtol=1e-5)


def test_a_ball_has_the_outline_and_the_depth_of_a_ball(solids):
    ball = solids.sphere(0.5, rings=200)
    for camera in even_cameras(4, fov=0.7):
        actual = view(ball, camera, 224)
        rays = camera.rays(224)
        # |origin + t * ray| = radius, solved for t.
        a, b = (rays**2).sum(-1), rays @ camera.origin
        root = b**2 - a * (4 - 0.25)
        expected = np.where(root >= 0, (-b - np.sqrt(np.maximum(root, 0))) / a, np.inf)
        hit, drawn = np.isfinite(expected), np.isfinite(actual.depth)
        assert (hit & drawn).sum() / (hit | drawn).sum() > 0.998
        # The ball's faces lie inside it by 0.5 * (1 - cos(pi / 400)) at most; at its edge a ray
        # passes so flat that this is far along the ray.
        middle = hit & drawn & (root > 0.05)
        assert np.abs(actual.depth[middle] - expected[middle]).max() < 4e-4
        share = (actual.rgba[..., 3] / 255).mean()
        assert share == pytest.approx(hit.mean(), rel=0.003)


@pytest.mark.parametrize("samples", [1, 2, 3, 4])
def test_colors_of_a_texture_are_exact(samples):
    random = np.random.default_rng(samples)
    blocks = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    texture = blocks.repeat(16, 0).repeat(16, 1)
    rgba = view(quad(texture), size=256, samples=samples).rgba
    inside = rgba[64:192, 64:192].reshape(8, 16, 8, 16, 4)[:, 8, :, 8]
    assert np.array_equal(inside[..., :3], blocks) and (inside[..., 3] == 255).all()
    assert rgba[:63, :, 3].max() == 0
    behind = view(quad(texture), BACK, size=256, samples=samples).rgba
    mirrored = behind[64:192, 64:192].reshape(8, 16, 8, 16, 4)[:, 8, :, 8, :3]
    assert np.array_equal(mirrored, blocks[:, ::-1])


def test_textures_follow_the_perspective():
    ramp = np.zeros((256, 256, 3), np.uint8)
    ramp[..., 0] = np.arange(256)
    ramp[..., 1] = np.arange(255, -1, -1)[:, None]
    # Laid flat, reaching from far away to just before the camera.
    floor = quad(
        ramp, vertices=np.array([[-1, -0.5, 1.5], [1, -0.5, 1.5], [1, -0.5, -6], [-1, -0.5, -6]])
    )
    actual = view(floor, size=128)
    rays = FRONT.rays(128)
    with np.errstate(divide="ignore"):
        depth = -0.5 / rays[..., 1]
    at = FRONT.origin + depth[..., None] * rays
    u, v = (at[..., 0] + 1) / 2, (1.5 - at[..., 2]) / 7.5
    inside = (u > 0.02) & (u < 0.98) & (v > 0.02) & (v < 0.8) & (depth > 0)
    assert inside.sum() > 1500
    assert np.allclose(actual.depth[inside], depth[inside], rtol=1e-5)
    expected = np.stack([u, v], -1)[inside] * 256 - 0.5
    assert np.abs(actual.rgba[inside][:, :2] - expected).max() < 4


def test_a_fine_texture_far_away_turns_grey_instead_of_flickering():
    board = (np.indices((512, 512)).sum(0) % 2 * 255).astype(np.uint8)[..., None].repeat(3, 2)
    rgba = view(quad(board, uv=UV * 4), size=64).rgba[17:47, 17:47, :3].astype(int)
    assert np.abs(rgba - 127.5).max() < 3


def test_textures_repeat_and_do_not_bleed():
    halves = np.zeros((16, 16, 3), np.uint8)
    halves[:, 8:] = 255
    tiled = view(quad(halves, uv=UV * 2), size=128).rgba[64, 32:96, 0]
    assert tiled[2:14].max() == 0 and tiled[18:30].min() == 255
    assert tiled[34:46].max() == 0 and tiled[50:62].min() == 255
    once = view(quad(halves), size=512).rgba[256, 128:384, 0]
    assert once[0] == 0 and once[-1] == 255


def test_vertex_colors_blend_across_a_face():
    corners = np.uint8([[255, 0, 0], [0, 255, 0], [0, 0, 255]])[None]
    triangle = Mesh(
        np.array([[-1, -1, 0], [1, -1, 0], [0, 1, 0.0]]),
        np.array([[0, 1, 2]]),
        None,
        Appearance(np.zeros(1, int), (Material(WHITE),), None, corners),
    )
    rgba = view(triangle, size=65).rgba.astype(int)
    # The middle of the image is the mean of the tip and the middle of the base.
    assert np.abs(rgba[32, 32, :3] - [64, 64, 128]).max() <= 3
    assert np.abs(rgba[47, 32, :3] - [124, 124, 8]).max() <= 6


def test_holes_of_a_texture_are_holes():
    """A disc on a leaf: near, and so far that it is a few pixels wide."""
    y, x = np.mgrid[-1:1:256j, -1:1:256j]
    leaf = np.full((256, 256, 4), 255, np.uint8)
    leaf[..., 3] = np.where(x**2 + y**2 < 0.64, 255, 0)
    leaf[leaf[..., 3] == 0, :3] = 0  # the colour of what is not there must not show
    for size in (256, 64, 16):
        actual = view(quad(leaf, color=[0, 200, 0]), size=size)
        share = (actual.rgba[..., 3] / 255).mean() * 4
        assert share == pytest.approx(math.pi * 0.64 / 4, rel=0.04)
        assert (
            actual.rgba[actual.rgba[..., 3] > 0][:, :3].tolist()
            == [[0, 200, 0]] * (actual.rgba[..., 3] > 0).sum()
        )
        assert np.isfinite(actual.depth).mean() * 4 == pytest.approx(math.pi * 0.64 / 4, rel=0.1)
        assert not np.isfinite(actual.depth[0, 0])
    # What is behind shows through the holes, whichever comes first.
    wall = quad(color=[255, 0, 0], vertices=SQUARE - [0, 0, 1e-3])
    for mesh in (stack(wall, quad(leaf)), stack(quad(leaf), wall)):
        rgba = view(mesh, size=64).rgba
        assert rgba[17, 17].tolist() == [255, 0, 0, 255] and rgba[32, 32].tolist() == [255] * 4


def test_leaves_behind_leaves_grow_denser():
    veil = np.full((64, 64, 4), 255, np.uint8)
    veil[..., 3] = np.random.default_rng(0).integers(0, 2, (64, 64)) * 255
    layers = [quad(veil, vertices=SQUARE - [0, 0, i * 1e-3]) for i in range(4)]
    shares = [
        (view(stack(*layers[:n]), size=24).rgba[6:18, 6:18, 3] / 255).mean() for n in (1, 2, 4)
    ]
    # Independent halves would leave 1/2, 1/4 and 1/16 open.
    assert shares[0] == pytest.approx(0.5, abs=0.03)
    assert shares[1] > 0.65 and shares[2] > 0.85


def test_an_empty_alpha_channel_hides_nothing():
    texture = np.full((4, 4, 4), 90, np.uint8)
    texture[..., 3] = 0
    assert view(quad(texture)).rgba[32, 32].tolist() == [90, 90, 90, 255]


def test_glass_lets_through_what_is_behind_it():
    red = quad(color=[200, 0, 0], opacity=0.5, vertices=SQUARE + np.array([0, 0, 0.5]))
    blue = quad(color=[0, 0, 200], vertices=SQUARE / 2)
    for mesh in (stack(red, blue), stack(blue, red)):
        actual = view(mesh, size=64)
        assert actual.rgba[32, 32].tolist() == [100, 0, 100, 255]
        # Beside what stands behind it there is only the glass.
        assert actual.rgba[32, 14].tolist() == [200, 0, 0, 128]
        assert actual.depth[32, [32, 14]] == pytest.approx([1.5, 1.5], rel=1e-5)
        behind = view(mesh, BACK, size=64)
        assert behind.rgba[32, 32].tolist() == [0, 0, 200, 255]
    two = stack(red, quad(color=[0, 200, 0], opacity=0.5, vertices=SQUARE + np.array([0, 0, 0.2])))
    assert view(two).rgba[32, 32].tolist() == [133, 67, 0, 191]
    assert view(two, BACK).rgba[32, 32].tolist() == [67, 133, 0, 191]


def test_the_faintest_glass_is_seen():
    for opacity in (0.0, 0.001):
        assert view(quad(opacity=opacity)).rgba[32, 32, 3] > 50


def test_of_two_faces_in_one_place_the_one_turned_to_the_camera_is_seen():
    front, back = quad(color=[255, 0, 0]), quad(color=[0, 0, 255])
    for order in ((front, back), (back, front)):
        turned = stack(*order)
        flip = 2 * [order[0] is back] + 2 * [order[1] is back]
        faces = np.where(np.array(flip)[:, None], turned.faces[:, ::-1], turned.faces)
        mesh = Mesh(turned.vertices, faces, None, turned.appearance)
        for camera in (FRONT, look_at_origin(np.array([0.5, 0.4, 1.0]))):
            rgb = view(mesh, camera).rgba
            assert (rgb[rgb[..., 3] > 0][:, 0] == 255).all()
        assert (view(mesh, BACK).rgba[20:44, 20:44, 2] == 255).all()


def test_smooth_and_flat_shading(solids):
    ball = solids.sphere(0.5, rings=12)
    round_ball = solids.sphere(0.5, rings=120)
    target = view(round_ball, size=96, shading="smooth").rgba.astype(int)
    error = {}
    for shading in ("smooth", "flat"):
        rgba = view(ball, size=96, shading=shading).rgba.astype(int)
        full = (rgba[..., 3] == 255) & (target[..., 3] == 255)
        error[shading] = np.abs(rgba - target)[full].mean()
    assert error["smooth"] < 0.35 * error["flat"]
    # The edges of a cube stay sharp, whichever way its faces wind.
    cube = solids.box((-0.5,) * 3, (0.5,) * 3)
    camera = even_cameras(5)[1]
    mixed = Mesh(
        cube.vertices, np.where(np.arange(12)[:, None] % 3, cube.faces, cube.faces[:, ::-1])
    )
    images = [
        view(mesh, camera, shading=s).rgba.astype(int)
        for mesh in (cube, mixed)
        for s in ("flat", "smooth")
    ]
    for image in images[1:]:
        assert np.abs(image - images[0]).max() <= 1


def test_a_black_thing_keeps_its_shape(solids):
    cube = solids.box((-0.5,) * 3, (0.5,) * 3)
    black = Mesh(cube.vertices, cube.faces, np.zeros((12, 3), np.uint8))
    rgba = view(black, look_at_origin(np.array([1.0, 1.0, 1.0])), shading="flat").rgba
    tones = np.unique(rgba[rgba[..., 3] == 255][:, 0])
    assert tones.min() > 10 and tones.max() < 50 and np.ptp(tones) > 5


def test_inconsistent_winding_does_not_darken(solids):
    ball = solids.sphere(0.5, rings=24)
    flip = np.random.default_rng(0).random(len(ball.faces)) < 0.5
    mixed = Mesh(ball.vertices, np.where(flip[:, None], ball.faces[:, ::-1], ball.faces))
    for shading in ("smooth", "flat"):
        one, other = (view(mesh, shading=shading).rgba.astype(int) for mesh in (ball, mixed))
        assert np.abs(one - other).max() <= 2
        assert one[one[..., 3] == 255][:, 0].min() > 90


def test_from_inside_a_room(solids):
    room = solids.box((-1, -1, -1), (1, 1, 1))
    for camera in (
        Camera(np.zeros(3), *np.array([[1, 0, 0], [0, -1, 0], [0, 0, -1.0]]), 2.0),
        look_at_origin(np.array([0.3, 0.5, 0.4]), distance=0.9, fov=1.5),
    ):
        actual = view(room, camera, 96, shading="smooth")
        assert (actual.rgba[..., 3] == 255).all() and actual.rgba[..., 0].min() > 60
        expected, unsure = traced(room, camera, 96)
        assert np.allclose(actual.depth[~unsure], expected[~unsure], rtol=1e-5)


def test_no_cracks_between_faces(solids):
    ball = solids.sphere(0.5, rings=100)
    for camera in even_cameras(3, fov=0.6):
        depth = view(ball, camera, 256).depth
        rows, columns = np.nonzero(~np.isfinite(depth))
        radius = 128 * math.tan(math.asin(0.25)) / math.tan(0.3)
        assert np.hypot(rows - 127.5, columns - 127.5).min() > radius - 1.5


def test_the_same_bytes_every_time_and_one_view_per_camera(solids):
    mesh = Mesh(*(lambda m: (m.vertices, m.faces))(solids.torus()), None)
    cameras = even_cameras(4)
    first, second = (list(render_views(mesh, cameras, 48)) for _ in range(2))
    assert len(first) == 4
    for one, other in zip(first, second, strict=True):
        assert one.rgba.tobytes() == other.rgba.tobytes()
        assert one.depth.tobytes() == other.depth.tobytes()
    alone = next(render_views(mesh, cameras[2:], 48))
    assert np.array_equal(alone.rgba, first[2].rgba)
    moved = Mesh(mesh.vertices * 40 + 7, mesh.faces)
    assert (
        np.abs(next(render_views(moved, cameras, 48)).rgba.astype(int) - first[0].rgba) > 8
    ).mean() < 1e-3


def test_face_colors_and_none(solids):
    cube = solids.box((-0.5,) * 3, (0.5,) * 3)
    assert view(cube).rgba[32, 32].tolist() == [200, 200, 200, 255]
    painted = Mesh(cube.vertices, cube.faces, np.tile(np.uint8([10, 20, 30]), (12, 1)))
    assert view(painted).rgba[32, 32].tolist() == [10, 20, 30, 255]


@pytest.mark.parametrize("options", [{"size": 0}, {"size": 10_000}, {"samples": 0}, {"samples": 9}])
def test_wrong_settings(solids, options):
    with pytest.raises(MeshError, match="views: "):
        view(solids.sphere(), **options)
    with pytest.raises(MeshError, match="one point"):
        render_views(Mesh(np.zeros((3, 3)), np.array([[0, 1, 2]])), even_cameras(1))


def test_wild_input_draws_something(solids):
    """Huge and tiny coordinates, wild texture coordinates, degenerate faces."""
    random = np.random.default_rng(0)
    for scale in (1e-12, 1e12):
        mesh = solids.soup(1)
        mesh = Mesh(mesh.vertices * scale, mesh.faces)
        assert next(render_views(mesh, even_cameras(1), 32)).rgba[..., 3].max() > 0
    texture = random.integers(0, 256, (5, 7, 4), dtype=np.uint8)
    wild = random.normal(size=(2, 3, 2)) * 10.0 ** random.uniform(-30, 30, (2, 3, 2))
    for uv in (wild, np.full((2, 3, 2), np.nan), np.zeros((2, 3, 2))):
        for camera in even_cameras(4):
            assert view(quad(texture, uv=uv), camera, shading="smooth").rgba.shape == (64, 64, 4)


@pytest.mark.slow
def test_a_mesh_of_two_and_a_half_million_faces():
    import resource

    side = 1120
    x, z = np.meshgrid(np.linspace(-1, 1, side), np.linspace(-1, 1, side))
    vertices = np.stack([x, 0.1 * np.sin(9 * x) * np.cos(7 * z), z], -1).reshape(-1, 3)
    i = (np.arange(side - 1)[:, None] * side + np.arange(side - 1)).ravel()
    faces = np.concatenate(
        [np.stack([i, i + 1, i + side], 1), np.stack([i + 1, i + side + 1, i + side], 1)]
    )
    mesh = Mesh(vertices, faces)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    assert (
        sum(np.isfinite(actual.depth).sum() for actual in render_views(mesh, even_cameras(24)))
        > 50_000
    )
    assert time.perf_counter() - start < 60
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1.5 * 2**20
