import numpy as np
import pytest
import trimesh

from triform.geometry.format_units import (
    FOOT_BAND,
    PRINT_SUFFIXES,
    axis_of_format,
    mesh_for_format,
)
from triform.geometry.io.export import save_mesh
from triform.geometry.io.load import load_mesh
from triform.geometry.mesh import Mesh
from triform.geometry.voxels.surface import is_watertight, voxels_to_mesh


def box(x, y, z, at=(0, 0, 0)):
    solid = trimesh.creation.box((x, y, z), trimesh.transformations.translation_matrix(at))
    return Mesh(solid.vertices, solid.faces)


def table(*, sigma=0.5):
    """A table in 48^3 voxels, whose four legs end at heights of 8, 7, 8 and 7 voxels."""
    voxels = np.zeros((48, 48, 48))
    voxels[4:44, 36:40, 8:40] = 1
    for number, (x, z) in enumerate(((6, 10), (6, 34), (38, 10), (38, 34))):
        voxels[x : x + 4, 8 - number % 2 : 36, z : z + 4] = 1
    return voxels_to_mesh(voxels, sigma=sigma)


def sides(mesh):
    return (mesh.bounds[1] - mesh.bounds[0]).tolist()


@pytest.mark.parametrize(
    ("suffix", "settings", "expected"),
    [
        (".obj", {}, [1, 2, 4]),
        (".glb", {}, [1, 2, 4]),
        (".stl", {}, [25, 100, 50]),
        (".3MF", {}, [25, 100, 50]),
        (".stl", {"up": "y"}, [25, 50, 100]),
        (".obj", {"up": "z"}, [1, 4, 2]),
        (".obj", {"size_mm": 80.0}, [20, 40, 80]),
        (".glb", {"size_mm": 80.0}, [0.02, 0.04, 0.08]),
        (".3mf", {"size_mm": 80.0, "on_floor": True}, [20, 80, 40]),
    ],
)
def test_sizes_and_axes(suffix, settings, expected):
    mesh = mesh_for_format(box(1, 2, 4, at=(5, 6, 7)), suffix, **settings)
    assert sides(mesh) == pytest.approx(expected)
    assert mesh.volume == pytest.approx(np.prod(expected))  # a rotation, not a reflection


def test_z_up_is_a_quarter_turn_about_x():
    corners = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1.0]])
    turned = mesh_for_format(Mesh(corners, np.array([[0, 1, 2]])), ".obj", up="z").vertices
    assert turned.tolist() == [[1, 0, 0], [0, 0, 1], [0, -1, 0]]


@pytest.mark.parametrize(("suffix", "axis"), [(".stl", 2), (".obj", 1)])
def test_feet_end_in_one_plane(suffix, axis):
    mesh = table()
    before = mesh.vertices[:, 1]
    assert before.max() - before.min() > 30 / 48
    placed = mesh_for_format(mesh, suffix, size_mm=100.0, on_floor=True)
    height = placed.vertices[:, axis]
    assert height.min() == 0 and max(sides(placed)) == pytest.approx(100)
    # Ends of the legs: an area at each, all within 0.01 mm.
    other = [number for number in range(3) if number != axis]
    ends = placed.vertices[height < 0.01][:, other]
    quadrants = {tuple(corner) for corner in np.sign(ends).astype(int).tolist()}
    assert quadrants == {(-1, -1), (-1, 1), (1, -1), (1, 1)}
    flat = (height[placed.faces] < 0.01).all(axis=1)
    assert placed.face_areas[flat].sum() > 4 * 20
    # In single precision as well, as the files have it.
    single = Mesh(placed.vertices.astype(np.float32), placed.faces)
    assert is_watertight(placed) and is_watertight(single)
    assert placed.volume > 0.97 * mesh.volume * (100 / max(sides(mesh))) ** 3


def test_what_stands_already_stays():
    mesh = box(1, 2, 3, at=(0, 5, 0))
    placed = mesh_for_format(mesh, ".obj", on_floor=True)
    assert placed.bounds.tolist() == [[-0.5, 0, -1.5], [0.5, 2, 1.5]]


def test_a_ball_gets_a_spot_to_stand_on():
    solid = trimesh.creation.icosphere(4, radius=0.5)
    placed = mesh_for_format(Mesh(solid.vertices, solid.faces), ".stl", on_floor=True)
    flat = (placed.vertices[:, 2][placed.faces] < 0.01).all(axis=1)
    assert placed.face_areas[flat].sum() > 30 and is_watertight(placed)


def test_parts_above_the_feet_are_no_feet():
    """A shelf twice as high as feet may be stays where it is."""
    feet = [box(0.1, 1, 0.1, at=(x, 0.5, 0)) for x in (-0.4, 0.4)]
    shelf = box(0.7, 0.02, 0.1, at=(0, 2 * FOOT_BAND + 0.01, 0))
    parts = [*feet, shelf]
    starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
    mesh = Mesh(
        np.concatenate([part.vertices for part in parts]),
        np.concatenate([p.faces + s for p, s in zip(parts, starts, strict=False)]),
    )
    assert mesh_for_format(mesh, ".obj", on_floor=True).vertices == pytest.approx(mesh.vertices)


@pytest.mark.parametrize("up", ["auto", "y", "z"])
@pytest.mark.parametrize("suffix", [".stl", ".glb", ".ply", ".obj", ".3mf"])
def test_what_is_written_is_read_upright(suffix, up, tmp_path):
    """STL declares its axis; the other formats have one, which `auto` writes."""
    path = tmp_path / f"box{suffix}"
    axis = axis_of_format(suffix, up)
    save_mesh(mesh_for_format(box(1, 2, 4), suffix, up=up), path, up=axis)
    is_declared = suffix == ".stl" or axis == axis_of_format(suffix, "auto")
    mesh = load_mesh(path, up="auto" if is_declared else axis)
    assert sides(mesh) == pytest.approx(
        [100 / 4, 100 / 2, 100] if suffix in PRINT_SUFFIXES else [1, 2, 4]
    )
    assert mesh.volume > 0
