"""Which way is up in a file, and meshes turned by it."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from triform.geometry.io.export import save_mesh
from triform.geometry.io.load import load_mesh
from triform.geometry.io.up_axis import up_axis, upright
from triform.geometry.mesh import Mesh

CORNERS = np.array([[0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3.0]])
FACES = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
VRML = b"""#VRML V2.0 utf8
# Copyright (C) 2018, kicad StepUp
Shape { geometry IndexedFaceSet { coord Coordinate { point [0 0 0, 1 0 0, 0 2 0, 0 0 3] }
coordIndex [0 2 1 -1 0 1 3 -1 0 3 2 -1 1 2 3 -1] } }
"""
PLAIN = VRML.replace(b"kicad StepUp", b"somebody")


@pytest.mark.parametrize(
    ("data", "file_type", "axis"),
    [
        (b"", "stl", "z"),
        (b"", "3mf", "z"),
        (b"", "step", "z"),
        (b"", "iges", "z"),
        *((b"", name, "y") for name in ("obj", "off", "ply", "glb", "gltf", "dae")),
        (b"binary STL up=y".ljust(84), "stl", "y"),
        (b"solid part UP: Z\n", "stl", "z"),
        (b"solid cup=y\n", "stl", "z"),
        (b" " * 80 + b"up=y", "stl", "z"),
        (VRML, "wrl", "z"),
        (gzip.compress(VRML, mtime=0), "wrl", "z"),
        (PLAIN, "wrl", "y"),
        (gzip.compress(PLAIN, mtime=0), "wrl", "y"),
        (gzip.compress(VRML, mtime=0)[:20], "wrl", "y"),
        (b'#VRML V2.0 utf8\nWorldInfo { info "Made by FreeCAD" }', "wrl", "z"),
        (b"#VRML V2.0 utf8\nDEF kicad Transform { }", "wrl", "y"),
    ],
)
def test_axis_by_declaration_and_format(data, file_type, axis):
    assert up_axis(data, file_type) == axis


def test_z_becomes_y_and_the_front_stays_in_front():
    """CAD's top (+Z) is our top (+Y), its front (-Y) our front (+Z); nothing is mirrored."""
    turned = upright(Mesh(np.eye(4, 3) * [1, -1, 1], FACES), "z")
    np.testing.assert_array_equal(turned.vertices[:3], [[1, 0, 0], [0, 0, 1], [0, 1, 0]])
    mesh = Mesh(CORNERS, FACES)
    assert upright(mesh, "y") is mesh
    volume = np.linalg.det(upright(mesh, "z").triangles).sum()
    assert volume == pytest.approx(np.linalg.det(mesh.triangles).sum())


@pytest.mark.parametrize(("up", "size"), [("y", (1, 2, 3)), ("z", (1, 3, 2)), ("auto", (1, 3, 2))])
def test_reading_turns(tmp_path: Path, up, size):
    path = tmp_path / "part.wrl.gz"
    path.write_bytes(gzip.compress(VRML, mtime=0))
    low, high = load_mesh(path, up=up).bounds
    np.testing.assert_allclose(high - low, size)


def test_our_own_stl_comes_back_as_it_was(tmp_path: Path):
    mesh = Mesh(CORNERS, FACES)
    save_mesh(mesh, tmp_path / "part.stl")
    low, high = load_mesh(tmp_path / "part.stl", up="auto").bounds
    np.testing.assert_allclose(high - low, (1, 2, 3))
