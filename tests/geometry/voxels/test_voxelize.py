import time
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label

from triform.geometry.mesh import Mesh, MeshError, normalize
from triform.geometry.sampling.surface_points import sample_surface
from triform.geometry.voxels.voxelize import CONTACT_MARGIN, _voxelize_surface, voxelize


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def corners(resolution):
    """Low and high corners (R, R, R, 3) of the voxels."""
    i = np.stack(np.meshgrid(*[np.arange(resolution)] * 3, indexing="ij"), axis=-1)
    return i / resolution - 0.5, (i + 1) / resolution - 0.5


def centers(resolution):
    low, high = corners(resolution)
    return (low + high) / 2


def touched_by_clipping(mesh, resolution, contact=CONTACT_MARGIN):
    """Surface voxels by cutting every triangle with the six planes of every box: slow and sure."""
    grid = np.zeros((resolution,) * 3, dtype=bool)
    triangles = (normalize(mesh).triangles + 0.5) * resolution
    for triangle in triangles:
        low = np.clip(np.ceil(triangle.min(axis=0) - 1.5).astype(int), 0, resolution - 1)
        high = np.clip(np.floor(triangle.max(axis=0) + 0.5).astype(int), 0, resolution - 1)
        for voxel in product(*(range(a, b + 1) for a, b in zip(low, high, strict=True))):
            polygon = list(triangle)
            for axis, side in product(range(3), (-1, 1)):
                plane = voxel[axis] - contact if side < 0 else voxel[axis] + 1 + contact
                stored = []
                for p, q in zip(polygon, polygon[1:] + polygon[:1], strict=True):
                    over_p, over_q = side * (p[axis] - plane), side * (q[axis] - plane)
                    if over_p <= 0:
                        stored.append(p)
                    if over_p * over_q < 0:
                        stored.append(p + (q - p) * (over_p / (over_p - over_q)))
                polygon = stored
            grid[voxel] |= len(polygon) > 0
    return grid


@pytest.mark.parametrize("seed", range(6))
def test_surface_is_what_clipping_finds(solids, seed):
    mesh = solids.soup(seed)
    expected = touched_by_clipping(mesh, 9)
    assert np.array_equal(voxelize(mesh, 9, fill=False), expected)


lattice = st.integers(0, 6)
coordinate = lattice | st.floats(-3, 9, allow_nan=False, width=32)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.tuples(*[coordinate] * 9), min_size=1, max_size=5), st.integers(1, 7))
def test_any_soup_is_what_clipping_finds(rows, resolution):
    vertices = np.array(rows, dtype=np.float64).reshape(-1, 3)
    mesh = Mesh(vertices, np.arange(len(vertices)).reshape(-1, 3))
    if np.ptp(vertices, axis=0).max() == 0:
        with pytest.raises(MeshError):
            voxelize(mesh, resolution)
        return
    ours = voxelize(mesh, resolution, fill=False)
    clipped = touched_by_clipping(mesh, resolution)
    if not np.array_equal(ours, clipped):
        # Only a contact within rounding of the tolerance itself may differ.
        closer = touched_by_clipping(mesh, resolution, CONTACT_MARGIN / 2)
        wider = touched_by_clipping(mesh, resolution, CONTACT_MARGIN * 2)
        assert (closer <= ours).all() and (ours <= wider).all()


@pytest.mark.parametrize("resolution", [8, 17, 32, 64])
def test_ball_marks_exactly_the_voxels_that_it_reaches(solids, resolution):
    mesh = normalize(solids.sphere(rings=48))
    grid = voxelize(mesh, resolution)
    low, high = corners(resolution)
    nearest = np.linalg.norm(np.clip(0, low, high), axis=-1)
    inner = np.linalg.norm(mesh.triangles.mean(axis=1), axis=1).min() * 0.999
    assert grid[nearest <= inner].all()
    assert not grid[nearest > 0.5 + 1e-6].any()


@pytest.mark.parametrize("resolution", [8, 17, 32, 64])
def test_box_and_table_are_exact(solids, resolution):
    low, high = corners(resolution)
    table, boxes = solids.table()
    for mesh, parts in (
        (table, boxes),
        (solids.box((0, 0, 0), (1, 0.31, 0.57)), np.array([[(0, 0, 0), (1, 0.31, 0.57)]])),
    ):
        bounds = mesh.bounds
        parts = (parts - bounds.mean(axis=0)) / (bounds[1] - bounds[0]).max()
        expected = np.zeros((resolution,) * 3, dtype=bool)
        for part in parts:
            expected |= ((low <= part[1] + 1e-9) & (high >= part[0] - 1e-9)).all(axis=-1)
        assert np.array_equal(voxelize(mesh, resolution), expected)


@pytest.mark.parametrize("resolution", [16, 32, 64])
def test_torus_keeps_its_hole(solids, resolution):
    grid = voxelize(solids.torus(1.0, 0.3), resolution)
    x, y, z = np.moveaxis(centers(resolution) * 2.6, -1, 0)
    distance = np.hypot(np.hypot(x, z) - 1.0, y) - 0.3
    half_diagonal = 2.6 * np.sqrt(3) / 2 / resolution
    assert grid[distance < -0.002].all()
    assert not grid[distance > half_diagonal].any()
    assert label(~grid, np.ones((3, 3, 3)))[1] == 1


def test_damage_of_the_usual_kinds(solids):
    """Faces missing, flipped, split apart, doubled: against the exact ball at 64^3."""
    ball = normalize(solids.sphere(rings=48))
    random = np.random.default_rng(1)
    whole = voxelize(ball, 64)
    exact = np.linalg.norm(centers(64), axis=-1) <= 0.5
    assert iou(whole, exact) > 0.91

    flip = random.random(len(ball.faces)) < 0.5
    flipped = np.where(flip[:, None], ball.faces[:, ::-1], ball.faces)
    difference = Mesh(ball.triangles.reshape(-1, 3), np.arange(ball.faces.size).reshape(-1, 3))
    doubled = Mesh(ball.vertices, np.concatenate([ball.faces, ball.faces[:, ::-1]]))
    nested = solids.join(ball, Mesh(ball.vertices * 0.4, ball.faces))
    for damaged in (Mesh(ball.vertices, flipped), difference, doubled, nested):
        assert np.array_equal(voxelize(damaged, 64), whole)

    missing = Mesh(ball.vertices, ball.faces[random.random(len(ball.faces)) > 0.1])
    assert iou(voxelize(missing, 64), exact) < 0.2  # a shell: outside reaches in
    assert iou(voxelize(missing, 64, parity=True), exact) > 0.8
    assert not (voxelize(missing, 64, parity=True) & ~whole).any()


def test_splitting_faces_changes_nothing(solids):
    table, _ = solids.table()
    a, b, c = np.moveaxis(table.triangles, 1, 0)
    ab, bc, ca = (a + b) / 2, (b + c) / 2, (c + a) / 2
    pieces = np.concatenate(
        [np.stack(t, 1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))]
    )
    split = Mesh(pieces.reshape(-1, 3), np.arange(pieces.size // 3).reshape(-1, 3))
    assert np.array_equal(voxelize(split, 48), voxelize(table, 48))


def test_bottomless_box_and_parity(solids):
    cup = solids.box((0, 0, 0), (1, 1, 1))
    open_below = Mesh(cup.vertices, cup.faces[[i for i in range(12) if i not in (4, 5)]])
    assert not voxelize(open_below, 32)[16, 16, 16]
    assert voxelize(open_below, 32, parity=True).all()


@pytest.mark.parametrize(
    ("axis", "ends"), [(0, (0, 1, 2, 3)), (1, (4, 5, 6, 7)), (2, (8, 9, 10, 11))]
)
def test_a_tube_open_at_both_ends_stays_open(solids, axis, ends):
    """The ray through it finds no face at all, so that the two across it do not decide."""
    cube = solids.box((0, 0, 0), (1, 1, 1))
    tube = Mesh(cube.vertices, cube.faces[[i for i in range(12) if i not in ends]])
    walls = np.ones((8, 8, 8), dtype=bool)
    walls[tuple(slice(None) if each == axis else slice(1, 7) for each in range(3))] = False
    assert np.array_equal(voxelize(tube, 8, parity=True), walls)


def test_a_needle_marks_the_voxels_along_it():
    """Its third corner is off the line by rounding alone, and so is the normal."""
    ends = np.array(
        [
            [0.653163170682291, 0.8046939042005747, 0.10237618981515617],
            [0.3311082609450814, 0.017931951464625562, 0.9235107788408123],
        ]
    )
    between = np.array([0.4215795650244896, 0.23894823692403366, 0.6928385709416114])
    grid = np.zeros((8, 8, 8), np.uint8)
    _voxelize_surface(8 * np.array([*ends, between]), np.array([[0, 1, 2]]), grid)
    along = ends[0] + np.linspace(0, 1, 100_001)[:, None] * (ends[1] - ends[0])
    expected = np.zeros_like(grid)
    expected[tuple(np.floor(8 * along).astype(int).T)] = 1
    assert expected.sum() > 12 and np.array_equal(grid, expected)


@pytest.mark.parametrize("parity", [False, True])
def test_order_winding_and_extra_vertices_do_not_matter(solids, parity):
    mesh = solids.soup(11, 80)
    expected = voxelize(mesh, 24, parity=parity)
    random = np.random.default_rng(0)
    order = random.permutation(len(mesh.faces))
    names = random.permutation(len(mesh.vertices))
    renamed = np.argsort(names)[mesh.faces[order]]
    turned = np.stack([np.roll(f, random.integers(3))[:: random.choice([-1, 1])] for f in renamed])
    stray = np.concatenate([mesh.vertices[names], [[1e6, -1e6, 0]]])
    assert np.array_equal(voxelize(Mesh(stray, turned), 24, parity=parity), expected)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    st.integers(0, 10**6),
    st.tuples(*[st.floats(-100, 100)] * 3),
    st.floats(1e-3, 1e3),
    st.integers(5, 33),
)
def test_place_and_size_do_not_matter(solids, seed, shift, scale, resolution):
    mesh = solids.join(solids.soup(seed, 20), solids.box((0, 0, 0), (1, 0.5, 0.25)))
    moved = Mesh(mesh.vertices * scale + np.array(shift) * scale, mesh.faces)
    assert np.array_equal(voxelize(moved, resolution), voxelize(mesh, resolution))


@pytest.mark.parametrize("resolution", [15, 16])
def test_all_48_symmetries_of_the_cube(solids, resolution):
    mesh = solids.join(solids.soup(5, 30), solids.box((-1, -1, -1), (1, 0, 0.5)))
    grid = voxelize(mesh, resolution)
    for order, signs in product(permutations(range(3)), product((1, -1), repeat=3)):
        turned = Mesh(mesh.vertices[:, order] * signs, mesh.faces)
        expected = grid.transpose(order)[tuple(slice(None, None, s) for s in signs)]
        assert np.array_equal(voxelize(turned, resolution), expected)


@pytest.mark.parametrize("seed", range(4))
def test_every_surface_point_lies_in_an_occupied_voxel(solids, seed):
    mesh = normalize(solids.join(solids.soup(seed), solids.table()[0]))
    for resolution in (7, 32):
        grid = voxelize(mesh, resolution, fill=False)
        points = sample_surface(mesh, 20_000, seed).points
        at = np.clip(np.floor((points + 0.5) * resolution).astype(int), 0, resolution - 1)
        assert grid[tuple(at.T)].all()


def test_nothing_falls_off_the_border(solids):
    for resolution in (1, 2, 3, 10, 64):
        assert voxelize(solids.box((-3, -3, -3), (7, 7, 7)), resolution).all()
    wall = Mesh(np.array([[0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 0, 0.0]]), np.array([[0, 1, 2]]))
    sheet = voxelize(wall, 10)  # a flat sheet lies in the middle, between two layers
    assert sheet[:, :, 4:6].any() and not sheet[:, :, :4].any() and not sheet[:, :, 6:].any()
    needle = Mesh(np.array([[0, 0, 0], [1, 0, 0], [1, 1e-9, 0]]), np.array([[0, 1, 2]]))
    assert voxelize(needle, 64)[:, 31, 31].all()


def test_thin_parts_stay_in_one_piece(solids):
    table, _ = solids.table()
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0]
    for resolution in (16, 64):
        for vertices in (table.vertices, table.vertices @ turn):
            grid = voxelize(Mesh(vertices, table.faces), resolution)
            assert label(grid, np.ones((3, 3, 3)))[1] == 1


def test_degenerate_faces_are_harmless(solids):
    ball = solids.sphere(rings=12)
    edges = np.stack([ball.faces[:, 0], ball.faces[:, 1], ball.faces[:, 1]], axis=1)
    points = np.repeat(ball.faces[:, :1], 3, axis=1)
    worse = Mesh(ball.vertices, np.concatenate([ball.faces, edges, points]))
    assert np.array_equal(voxelize(worse, 40), voxelize(ball, 40))
    line = Mesh(np.array([[0.0, 0, 0], [1, 1, 1]]), np.array([[0, 1, 1]]))
    assert voxelize(line, 9)[range(9), range(9), range(9)].all()


def test_far_away_and_tiny_models(solids):
    box = solids.box((0, 0, 0), (1, 0.3, 0.3))
    for scale, shift in ((1e-12, 0), (1e12, 0), (1.0, 1e5)):
        moved = Mesh(box.vertices * scale + shift, box.faces)
        assert iou(voxelize(moved, 50), voxelize(box, 50)) > 0.99


@pytest.mark.parametrize("resolution", [0, -1, 1025])
def test_resolution_out_of_range(solids, resolution):
    with pytest.raises(MeshError, match=str(resolution)):
        voxelize(solids.sphere(), resolution)


def test_one_point_has_no_voxels():
    with pytest.raises(MeshError, match="one point"):
        voxelize(Mesh(np.ones((3, 3)), np.array([[0, 1, 2]])), 8)


def test_a_million_faces_and_huge_triangles_are_bounded():
    random = np.random.default_rng(0)
    small = random.random((1_000_000, 1, 3)) + random.normal(size=(1_000_000, 3, 3)) * 0.005
    huge = random.random((4_000, 3, 3))
    for triangles in (small, huge):
        mesh = Mesh(triangles.reshape(-1, 3), np.arange(triangles.size // 3).reshape(-1, 3))
        start = time.process_time()
        grid = voxelize(mesh, 64)
        assert time.process_time() - start < 10
        assert grid.any()
