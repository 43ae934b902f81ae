import io
import json
import struct
import zipfile
from xml.etree import ElementTree

import numpy as np
import pytest
import trimesh

from triform.base.errors import UsageError
from triform.geometry.colors import srgb_from_linear
from triform.geometry.io.export import SUFFIXES, save_mesh
from triform.geometry.io.load import load_mesh
from triform.geometry.mesh import Mesh
from triform.geometry.voxels.surface import is_watertight, voxels_to_mesh


@pytest.fixture(scope="module")
def lumps():
    return voxels_to_mesh(np.random.default_rng(3).random((12, 12, 12)))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_written_is_read_back(tmp_path, lumps, suffix):
    path = tmp_path / f"mesh{suffix}"
    save_mesh(lumps, path)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    mesh = load_mesh(path)
    assert (len(mesh.vertices), len(mesh.faces)) == (len(lumps.vertices), len(lumps.faces))
    assert np.allclose(mesh.triangles, lumps.triangles, atol=1e-7)
    assert is_watertight(mesh) and mesh.volume == pytest.approx(lumps.volume)
    # Another reader sees the same: turned the same way up, with the same side out.
    theirs = trimesh.load(path, force="mesh")
    assert theirs.is_watertight and theirs.volume == pytest.approx(lumps.volume, rel=1e-5)
    assert np.allclose(theirs.bounds, lumps.bounds, atol=1e-6)


@pytest.mark.parametrize("suffix", [".obj", ".glb", ".ply"])
def test_colors_come_back(tmp_path, lumps, suffix):
    palette = np.array([[255, 0, 0], [200, 200, 200], [30, 90, 160], [255, 255, 255], [0, 0, 0]])
    colors = palette[np.arange(len(lumps.faces)) % 5].astype(np.uint8)
    save_mesh(Mesh(lumps.vertices, lumps.faces, colors), tmp_path / f"a{suffix}")
    mesh = load_mesh(tmp_path / f"a{suffix}")
    assert (len(mesh.vertices), len(mesh.faces)) == (len(lumps.vertices), len(lumps.faces))
    assert is_watertight(mesh)
    # Faces may be sorted by colour: compare them by where they are.
    ours = by_place(lumps.triangles, colors)
    theirs = by_place(mesh.triangles, mesh.face_colors)
    # Our reader of GLB knows only 8 bits of linear light: dark colours come back less exact.
    assert np.abs(ours.astype(int) - theirs).max() <= (3 if suffix == ".glb" else 0)


@pytest.mark.parametrize("suffix", [".obj", ".glb", ".ply"])
def test_vertex_colors_are_those_of_the_faces_around(tmp_path, suffix):
    """Of a box with a red top: top corners are between red and grey, the others grey."""
    solid = trimesh.creation.box((1, 1, 1))
    is_top = solid.face_normals[:, 1] > 0.5
    colors = np.where(is_top[:, None], (250, 10, 20), (40, 40, 40)).astype(np.uint8)
    path = tmp_path / f"a{suffix}"
    save_mesh(Mesh(solid.vertices, solid.faces, colors), path, vertex_colors=True)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]  # no MTL
    expected = np.array(
        [colors[(solid.faces == corner).any(axis=1)].mean(axis=0) for corner in range(8)]
    )
    # What another reader sees.
    theirs = trimesh.load(path, force="mesh", process=False)
    assert theirs.is_watertight and theirs.volume == pytest.approx(1)
    if suffix == ".glb":  # linear light
        (part,) = trimesh.load(path, process=False).geometry.values()
        found = srgb_from_linear(part.visual.vertex_attributes["color"][:, :3] / 65535)
    else:
        found = theirs.visual.vertex_colors[:, :3] / 255
    rows = [np.abs(theirs.vertices - vertex).sum(axis=1).argmin() for vertex in solid.vertices]
    np.testing.assert_allclose(found[rows] * 255, expected, atol=0.51)
    ours = load_mesh(path, appearance=True)
    assert ours.appearance.corner_colors is not None
    order = [np.abs(solid.vertices - vertex).sum(axis=1).argmin() for vertex in ours.vertices]
    found = ours.appearance.corner_colors.reshape(-1, 3)
    np.testing.assert_allclose(found, expected[np.array(order)[ours.faces.ravel()]], atol=1)


@pytest.mark.parametrize("suffix", [".stl", ".3mf"])
def test_formats_without_vertex_colors_are_as_before(tmp_path, lumps, suffix):
    colored = Mesh(lumps.vertices, lumps.faces, np.full(lumps.faces.shape, 90, np.uint8))
    save_mesh(colored, tmp_path / f"a{suffix}")
    save_mesh(colored, tmp_path / f"b{suffix}", vertex_colors=True)
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def by_place(triangles, colors):
    return colors[np.lexsort(triangles.mean(axis=1).round(6).T)]


def test_glb_follows_the_standard(tmp_path, lumps):
    colors = np.full(lumps.faces.shape, 128, np.uint8)
    save_mesh(Mesh(lumps.vertices, lumps.faces, colors), tmp_path / "a.glb")
    data = (tmp_path / "a.glb").read_bytes()
    magic, version, total, size, kind = struct.unpack_from("<4sIII4s", data)
    assert (magic, version, total, kind) == (b"glTF", 2, len(data), b"JSON")
    assert size % 4 == 0 and len(data) % 4 == 0
    tree = json.loads(data[20 : 20 + size])
    assert struct.unpack_from("<I4s", data, 20 + size) == (len(data) - 28 - size, b"BIN\0")
    assert tree["buffers"] == [{"byteLength": len(data) - 28 - size}]
    position = tree["accessors"][0]
    assert np.allclose([position["min"], position["max"]], lumps.bounds, atol=1e-6)
    # Mid grey is 0.2158 of the light.
    factor = tree["materials"][0]["pbrMetallicRoughness"]["baseColorFactor"]
    assert factor == pytest.approx([0.2158605] * 3 + [1.0], abs=1e-5)


def test_a_failed_write_leaves_the_old_file(tmp_path, lumps, monkeypatch):
    path = tmp_path / "a.stl"
    save_mesh(lumps, path)
    before = path.read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        save_mesh(lumps, path)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_unknown_suffix_lists_the_known(tmp_path, lumps):
    for name in ("a.xyz", "a", "a.obj.zip"):
        with pytest.raises(UsageError, match=r"\.obj, \.glb, \.ply, \.stl, \.3mf"):
            save_mesh(lumps, tmp_path / name)
    assert not list(tmp_path.iterdir())
    save_mesh(lumps, tmp_path / "A.STL")


def test_3mf_follows_the_standard(tmp_path, lumps):
    colors = np.full(lumps.faces.shape, (200, 30, 10), np.uint8)
    colors[::2] = (0, 0, 255)
    save_mesh(Mesh(lumps.vertices, lumps.faces, colors), tmp_path / "a.3mf")
    data = (tmp_path / "a.3mf").read_bytes()
    save_mesh(Mesh(lumps.vertices, lumps.faces, colors), tmp_path / "b.3mf")
    assert (tmp_path / "b.3mf").read_bytes() == data
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.namelist() == ["[Content_Types].xml", "_rels/.rels", "3D/3dmodel.model"]
        root = ElementTree.fromstring(archive.read("3D/3dmodel.model"))
    assert root.attrib["unit"] == "millimeter"
    name = "{http://schemas.microsoft.com/3dmanufacturing/core/2015/02}"
    bases = root.findall(f".//{name}base")
    assert [base.attrib["displaycolor"] for base in bases] == ["#0000FF", "#C81E0A"]
    triangles = root.findall(f".//{name}triangle")
    assert len(triangles) == len(lumps.faces) and len(root.findall(f".//{name}vertex"))
    assert [t.attrib["p1"] for t in triangles[:4]] == ["0", "1", "0", "1"]
