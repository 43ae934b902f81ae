"""STEP and IGES files written by hand, read through Open CASCADE in a process of its own."""

import importlib.util

import numpy as np
import pytest
from step_files import Part, iges_file, step_file

from triform.geometry.io import cad, cad_subprocess
from triform.geometry.io.load import load_mesh
from triform.geometry.mesh import MeshError
from triform.geometry.voxels.surface import is_watertight

needs_cascadio = pytest.mark.skipif(
    importlib.util.find_spec("cascadio") is None, reason="the extra `cad` is not installed"
)
HERE, UP, ALONG = (0, 0, 0), (0, 0, 1), (1, 0, 0)
BOX = Part("box", "box", (10, 20, 30), (1, 0.5, 0.25))
CYLINDER = Part("cylinder", "cylinder", (5, 40))


@needs_cascadio
def test_an_assembly_is_flattened_with_its_colors():
    """Two boxes (one turned) and a cylinder, that group twice, once upside down: exact places."""
    group = Part(
        "group",
        children=[
            (BOX, HERE, UP, ALONG),
            (BOX, (100, 0, 0), (0, 1, 0), ALONG),  # its z axis along y, so its y along -z
            (CYLINDER, (0, 50, 0), UP, ALONG),
        ],
    )
    top = Part("top", children=[(group, HERE, UP, ALONG), (group, (0, 0, 200), (0, 0, -1), ALONG)])
    mesh = load_mesh(step_file(top), "step", appearance=True)
    assert np.allclose(mesh.bounds * 1000, [[-5, -55, -20], [110, 55, 220]], atol=0.02)
    exact = 2 * (2 * 6000 + np.pi * 25 * 40)
    assert mesh.volume * 1e9 == pytest.approx(exact, rel=0.002)
    assert is_watertight(mesh)
    boxes = (mesh.face_colors == [255, 128, 64]).all(axis=1)
    assert boxes.sum() == 4 * 12
    assert (mesh.face_colors[~boxes] == mesh.face_colors[~boxes][0]).all()
    actual = mesh.appearance.colors_at(np.arange(len(boxes)), np.full((len(boxes), 3), 1 / 3))
    assert np.array_equal(actual[boxes], mesh.face_colors[boxes])
    found = mesh.triangles[boxes].reshape(4, 36, 3) * 1000
    extents = np.concatenate([found.min(axis=1), found.max(axis=1)], axis=1).round(3).tolist()
    assert sorted(extents) == [
        [0, -20, 170, 10, 0, 200],
        [0, 0, 0, 10, 20, 30],
        [100, -30, 200, 110, 0, 220],
        [100, 0, -20, 110, 30, 0],
    ]


@needs_cascadio
@pytest.mark.parametrize(("unit", "metres"), [("mm", 0.001), ("m", 1), ("inch", 0.0254)])
def test_every_unit_becomes_metres(tmp_path, unit, metres):
    path = tmp_path / "box.STP"
    path.write_bytes(step_file(BOX, unit))
    assert np.allclose(load_mesh(path).bounds[1], np.array([10, 20, 30]) * metres)
    path = tmp_path / "sheet.igs"
    path.write_bytes(iges_file(10, unit))
    sheet = load_mesh(path)
    assert sheet.area == pytest.approx(100 * metres**2)
    assert np.allclose(sheet.bounds[1], np.array([10, 10, 0]) * metres)


@needs_cascadio
def test_curves_are_cut_alike_at_every_size():
    small, large = (
        load_mesh(step_file(Part("c", "cylinder", (r, 8 * r))), "step") for r in (1, 1e4)
    )
    assert len(small.faces) == len(large.faces) < 400
    assert np.allclose(small.vertices * 1e4, large.vertices, rtol=1e-4)
    assert small.volume == pytest.approx(8 * np.pi * 1e-9, rel=0.004)


@needs_cascadio
def test_crashes_and_endless_work_are_one_line(monkeypatch):
    with pytest.raises(MeshError, match="damaged, or no STEP file"):
        load_mesh(b"OFF\n0 0 0\n" * 20, "step")
    with pytest.raises(MeshError, match="damaged, or no IGES file"):
        load_mesh(step_file(BOX), "iges")
    with pytest.raises(MeshError, match="there are no faces in it"):
        load_mesh(step_file(Part("nothing")), "step")
    with pytest.raises(MeshError, match="damaged STEP file"):
        load_mesh(step_file(BOX)[:3000], "step")
    # What a crashing or endless reader looks like from here.
    monkeypatch.setattr(cad, "COMMAND", ("-c", "import os; os.abort()"))
    with pytest.raises(MeshError, match="its reader crashed"):
        load_mesh(step_file(BOX), "step")
    monkeypatch.setattr(cad, "COMMAND", ("-c", "while True: pass"))
    monkeypatch.setattr(cad, "WALL_CLOCK_FACTOR", 0.05)
    with pytest.raises(MeshError, match="not read within 1 s"):
        load_mesh(step_file(BOX), "step")


def test_what_is_missing_is_said(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MeshError, match=r"pip install 'triform\[cad\]'"):
        load_mesh(step_file(BOX), "step")


def test_the_child_has_limits():
    """They hold in the child alone, so they are only looked at here."""
    assert cad_subprocess.MAX_MEMORY <= 4 * 2**30 and cad.SECONDS_PER_FILE <= 30
