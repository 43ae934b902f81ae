import logging

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import binary_dilation, gaussian_filter

from triform.geometry.mesh import Mesh, MeshError
from triform.geometry.voxels.surface import (
    decimate,
    is_watertight,
    main_component_share,
    select_faces,
    split_components,
    voxels_to_mesh,
)
from triform.geometry.voxels.voxelize import voxelize


def ball(resolution, radius=0.35, center=(0, 0, 0)):
    """Share of every voxel inside a ball, nearly."""
    steps = (np.arange(resolution) + 0.5) / resolution - 0.5
    x, y, z = np.meshgrid(*(steps - c for c in center), indexing="ij")
    distance = radius - np.sqrt(x**2 + y**2 + z**2)
    return np.clip(distance * resolution + 0.5, 0, 1)


def euler_number(mesh):
    edges = np.sort(mesh.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    return len(mesh.vertices) - len(np.unique(edges, axis=0)) + len(mesh.faces)


def test_ball_is_round_closed_and_outward():
    mesh = voxels_to_mesh(ball(64))
    assert is_watertight(mesh)
    assert euler_number(mesh) == 2
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * 0.35**3, rel=2e-3)
    assert np.abs(np.linalg.norm(mesh.vertices, axis=1) - 0.35).max() < 0.2 / 64
    assert (np.einsum("ij,ij->i", mesh.face_normals, mesh.triangles.mean(axis=1)) > 0).all()
    assert trimesh.Trimesh(mesh.vertices, mesh.faces).is_volume


def test_axes_keep_their_order():
    grid = np.zeros((20, 20, 20))
    grid[2:18, 5:10, 8:11] = 1
    assert np.allclose(
        voxels_to_mesh(grid).bounds, [[-0.4, -0.25, -0.1], [0.4, 0.0, 0.05]], atol=1e-6
    )


@pytest.mark.parametrize("kind", ["noise", "binary", "blurred", "checkers", "few levels"])
@pytest.mark.parametrize("seed", [0, 1])
def test_any_grid_gives_a_closed_outward_surface(kind, seed):
    random = np.random.default_rng(seed)
    noise = random.random((24, 24, 24))
    grid = {
        "noise": noise,
        "binary": noise > 0.5,
        "blurred": gaussian_filter((noise > 0.5).astype(float), 1),
        "checkers": np.indices(noise.shape).sum(axis=0) % 2 == seed,
        "few levels": np.round(noise * 4) / 4,  # many values exactly at the level
    }[kind]
    mesh = voxels_to_mesh(grid)
    assert is_watertight(mesh) and mesh.volume > 0
    assert mesh.face_areas.min() > 1e-9
    plain = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    assert plain.is_watertight and plain.is_winding_consistent
    assert is_watertight(Mesh(mesh.vertices.astype(np.float32).astype(float), mesh.faces))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(arrays(np.float64, (4, 4, 4), elements=st.sampled_from([0, 0.3, 0.5, 0.5001, 0.9, 1])))
def test_every_small_grid_is_closed_or_clearly_empty(grid):
    if grid.min() == grid.max() and grid.max() <= 0.5:
        with pytest.raises(MeshError, match="empty"):
            voxels_to_mesh(grid)
        return
    mesh = voxels_to_mesh(grid)
    assert is_watertight(mesh) and mesh.volume > 0
    assert np.abs(mesh.vertices).max() <= 0.5 + 1e-9


def test_full_grid_is_the_cube():
    for resolution in (1, 2, 16):
        mesh = voxels_to_mesh(np.ones((resolution,) * 3))
        assert is_watertight(mesh) and euler_number(mesh) == 2
        assert np.allclose(mesh.bounds, [[-0.5] * 3, [0.5] * 3], atol=1e-6)
    assert voxels_to_mesh(np.ones((16, 16, 16))).volume == pytest.approx(1, rel=0.02)


def test_voxels_to_mesh_and_back(solids):
    for mesh in (solids.sphere(), solids.torus(), solids.table()[0]):
        grid = voxelize(mesh, 48)
        # Placed so that the grid is not stretched when it is normalized again.
        grid[0, 0, 0] = grid[-1, -1, -1] = True
        surface = voxels_to_mesh(grid)
        assert is_watertight(surface)
        inside = trimesh_inside(surface, grid.shape[0])
        assert (inside & grid).sum() / (inside | grid).sum() > 0.999
        repeated = voxelize(surface, 48)
        # The surface runs along the border of the voxels, and whatever it touches is marked.
        assert (grid <= repeated).all()
        assert (repeated <= binary_dilation(grid, np.ones((3, 3, 3)))).all()


def trimesh_inside(mesh, resolution):
    """Centres inside by crossings of rays along x: an independent reading of the surface."""
    steps = (np.arange(resolution) + 0.5) / resolution - 0.5
    # Beside the edges, in directions that no edge has.
    rows, columns = steps + 1.3e-5, steps + 2.9e-5
    crossings = np.zeros((resolution,) * 3, dtype=int)
    for a, b, c in mesh.triangles[np.abs(mesh.face_normals[:, 0]) > 1e-6]:
        low, high = np.minimum(np.minimum(a, b), c), np.maximum(np.maximum(a, b), c)
        for j in range(*np.searchsorted(rows, (low[1], high[1]))):
            for k in range(*np.searchsorted(columns, (low[2], high[2]))):
                y, z = rows[j], columns[k]
                area = (b[1] - a[1]) * (c[2] - a[2]) - (b[2] - a[2]) * (c[1] - a[1])
                on_b = ((y - a[1]) * (c[2] - a[2]) - (z - a[2]) * (c[1] - a[1])) / area
                on_c = ((b[1] - a[1]) * (z - a[2]) - (b[2] - a[2]) * (y - a[1])) / area
                if on_b >= 0 and on_c >= 0 and on_b + on_c <= 1:
                    x = a[0] + on_b * (b[0] - a[0]) + on_c * (c[0] - a[0])
                    crossings[np.searchsorted(steps, x) :, j, k] += 1
    return crossings % 2 == 1


def test_level_outside_the_range_falls_back_with_a_warning(caplog):
    grid = ball(24) * 0.3
    with caplog.at_level(logging.WARNING, logger="triform"):
        logging.getLogger("triform").propagate = True
        mesh = voxels_to_mesh(grid)
    assert "level 0.5 is outside the range of the grid, 0 to 0.3; using its middle" in caplog.text
    assert np.array_equal(mesh.vertices, voxels_to_mesh(grid, level=0.15).vertices)
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="triform"):
        assert is_watertight(voxels_to_mesh(ball(24) * 0.3 + 0.6))
    assert "0.6 to 0.9" in caplog.text


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (np.zeros((8, 8, 8)), "empty"),
        (np.zeros((8, 8, 8), bool), "empty"),
        (np.full((8, 8, 8), np.nan), "NaN"),
        (np.ones((4, 5, 6)), r"\(4, 5, 6\)"),
        (np.zeros((0, 0, 0)), "expected"),
    ],
)
def test_grids_without_a_surface(grid, message):
    with pytest.raises(MeshError, match=message):
        voxels_to_mesh(grid)


def test_logits_work_at_level_zero():
    probability = ball(24) * 0.98 + 0.01
    logits = np.log(probability / (1 - probability))
    mesh = voxels_to_mesh(logits, level=0.0)
    assert is_watertight(mesh)
    assert mesh.volume == pytest.approx(voxels_to_mesh(probability).volume, rel=0.02)


def test_parts_holes_and_shares():
    three = np.maximum(ball(48, 0.2, (-0.25, 0, 0)), ball(48, 0.1, (0.3, 0, 0)))
    three = np.maximum(three, ball(48, 0.04, (0.3, 0.3, 0.3)))
    hollow = np.minimum(three, 1 - ball(48, 0.05, (-0.25, 0, 0)))
    mesh = voxels_to_mesh(hollow)
    volumes = np.sort(split_components(mesh).volumes)
    sizes = 4 / 3 * np.pi * np.array([0.05, 0.04, 0.1, 0.2]) ** 3 * [-1, 1, 1, 1]
    assert volumes == pytest.approx(sizes, rel=0.05, abs=1e-4)
    assert mesh.volume == pytest.approx(sizes.sum(), rel=0.02)
    assert main_component_share(mesh) == pytest.approx(sizes[3] / sizes[1:].sum(), rel=0.01)

    largest = voxels_to_mesh(hollow, largest_component=True)
    assert is_watertight(largest) and main_component_share(largest) == 1
    assert largest.volume == pytest.approx(sizes[3], rel=0.02)


def test_blur_rounds_and_can_swallow():
    sheet = np.zeros((24, 24, 24))
    sheet[4:20, 12, 4:20] = 1
    assert voxels_to_mesh(sheet).volume > 0
    assert voxels_to_mesh(sheet, sigma=0.5).volume > 0
    assert is_watertight(voxels_to_mesh(ball(24, 0.6), sigma=1.0))


@pytest.mark.parametrize("target", [4, 60, 500, 3000])
def test_decimation_stays_closed(target):
    random = np.random.default_rng(0)
    lumps = gaussian_filter(random.random((32, 32, 32)), 2)
    lumps = (lumps - lumps.min()) / np.ptp(lumps)
    for grid in (ball(32), lumps):
        mesh = voxels_to_mesh(grid, largest_component=True)
        small = decimate(mesh, target)
        assert is_watertight(small)
        assert len(small.faces) <= len(mesh.faces)
    if target >= 500:
        small = decimate(voxels_to_mesh(ball(32)), target)
        assert len(small.faces) <= target * 1.05
        assert small.volume == pytest.approx(voxels_to_mesh(ball(32)).volume, rel=0.02)


def test_decimation_of_open_meshes_and_wrong_targets(solids):
    mesh = solids.sphere(rings=20)
    cut = select_faces(mesh, mesh.triangles.mean(axis=1)[:, 1] > 0)
    assert not is_watertight(cut)
    assert len(decimate(cut, 200).faces) <= 210
    assert decimate(mesh, 10**9) is mesh
    with pytest.raises(MeshError, match="3 faces"):
        decimate(mesh, 3)


def test_watertight_means_every_edge_twice_in_opposite_directions(solids):
    box = solids.box((0, 0, 0), (1, 1, 1))
    assert is_watertight(box)
    loose = Mesh(box.triangles.reshape(-1, 3), np.arange(36).reshape(-1, 3))
    assert is_watertight(loose)  # the same places are the same vertices
    flipped = box.faces.copy()
    flipped[3] = flipped[3, ::-1]
    for faces in (box.faces[1:], flipped, np.concatenate([box.faces, box.faces])):
        assert not is_watertight(Mesh(box.vertices, faces))
    touching = solids.join(box, solids.box((1, 1, 0), (2, 2, 1)))  # they share an edge
    assert not is_watertight(touching)
    assert is_watertight(solids.join(box, solids.box((3, 3, 3), (4, 4, 4))))
