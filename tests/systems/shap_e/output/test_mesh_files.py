"""Coloured meshes read back by our own readers and by trimesh."""

import json

import numpy as np
import pytest
import trimesh

from triform.base.errors import UsageError
from triform.geometry.colors import linear_from_srgb
from triform.geometry.io.load import load_mesh
from triform.geometry.mesh import Mesh
from triform.systems.shap_e.output.mesh import with_vertex_colors
from triform.systems.shap_e.output.mesh_files import save_colored_mesh

MESH = Mesh(
    np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=float),
    np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]),
)
COLORS = np.array([[255, 0, 0], [0, 128, 0], [10, 20, 200], [90, 90, 90]], np.uint8)


@pytest.mark.parametrize("suffix", [".glb", ".obj", ".ply"])
def test_colors_come_back_as_srgb(tmp_path, suffix):
    path = tmp_path / f"shape{suffix}"
    save_colored_mesh(MESH, COLORS, path)
    mesh = load_mesh(path, appearance=True)
    assert mesh.appearance is not None and mesh.appearance.corner_colors is not None
    found = {
        tuple(np.round(corner, 4)): color
        for corners, colors in zip(mesh.triangles, mesh.appearance.corner_colors, strict=True)
        for corner, color in zip(corners, colors, strict=True)
    }
    assert len(found) == 4
    for vertex, color in zip(MESH.vertices, COLORS, strict=True):
        assert np.abs(found[tuple(vertex)].astype(int) - color).max() <= 1, suffix


def test_colors_in_glb_are_linear(tmp_path):
    path = tmp_path / "shape.glb"
    save_colored_mesh(MESH, COLORS, path)
    data = path.read_bytes()
    length = int.from_bytes(data[12:16], "little")
    tree, body = json.loads(data[20 : 20 + length]), data[28 + length :]
    view = tree["bufferViews"][tree["meshes"][0]["primitives"][0]["attributes"]["COLOR_0"]]
    start = view["byteOffset"]
    stored = np.frombuffer(body[start : start + view["byteLength"]], "<u2").reshape(-1, 4) / 65535
    np.testing.assert_allclose(stored[:, :3], linear_from_srgb(COLORS / 255), atol=1e-5)
    assert (stored[:, 3] == 1).all()
    (mesh,) = trimesh.load(path).geometry.values()
    np.testing.assert_array_equal(mesh.faces, MESH.faces)
    np.testing.assert_allclose(mesh.vertices, MESH.vertices)


def test_other_suffixes_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"\.stl"):
        save_colored_mesh(MESH, COLORS, tmp_path / "shape.stl")


def test_colors_of_vertices_become_those_of_corners():
    mesh = with_vertex_colors(MESH, COLORS)
    assert mesh.appearance is not None
    np.testing.assert_array_equal(mesh.appearance.corner_colors, COLORS[MESH.faces])
