"""glTF and GLB: what a file declares is looked at, and every kind of accessor is read right."""

import base64
import builtins
import json
import logging
import math
import struct
from pathlib import Path

import numpy as np
import pytest
from box_files import FACES, QUADS, VERTICES, Glb, box_glb, compare

from triform.geometry.io.load import load_mesh
from triform.geometry.mesh import MeshError

CASES = Path(__file__).parents[2] / "cases"


def test_cases_of_public_reports():
    compare(load_mesh(CASES / "glb_instancing.glb"), 60, 132, 36, (11, 4, 6))
    # 3 x 10922 / 32767 is the side of 1.
    compare(load_mesh(CASES / "glb_quant_two.glb"), 12, 44, 24, (6, 2, 3), tolerance=1e-4)
    compare(load_mesh(CASES / "gltf_pct" / "gltf_pct.gltf"))
    with pytest.raises(MeshError, match="KHR_draco_mesh_compression"):
        load_mesh(CASES / "glb_draco_mixed.glb")


def normalized_box(dtype):
    """The box in integers of a type; its node scales it back by 3."""
    file = Glb()
    values = np.rint(VERTICES / 3 * np.iinfo(dtype).max).astype(dtype)
    padded = np.zeros((8, 4), dtype)
    padded[:, :3] = values
    view = file.view(padded.tobytes(), byteStride=padded.strides[0])
    file.tree["meshes"].append({"primitives": [{"attributes": {}}]})
    primitive = file.tree["meshes"][0]["primitives"][0]
    primitive["attributes"]["POSITION"] = file.accessor(values, view=view, normalized=True)
    primitive["indices"] = file.accessor(FACES.ravel().astype("u1"))
    file.tree["extensionsRequired"] = ["KHR_mesh_quantization"]
    file.tree["nodes"] = [{"mesh": 0, "scale": [3, 3, 3]}]
    return file.bytes()


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2"])
def test_normalized_positions(dtype):
    mesh = load_mesh(normalized_box(dtype), "glb")
    compare(mesh, tolerance={"1": 0.02, "2": 1e-4}[dtype[1]])


def test_plain_integers_are_coordinates():
    compare(load_mesh(box_glb(vertices=VERTICES.astype("i2")), "glb"))


def interleaved():
    file = Glb()
    rows = np.zeros(8, [("at", "<f4", 3), ("color", "u1", 4)])
    rows["at"], rows["color"] = VERTICES, (255, 0, 0, 255)
    view = file.view(b"\0" * 4 + rows.tobytes(), byteStride=16)
    colors = np.zeros((8, 4), "u1")
    attributes = {
        "POSITION": file.accessor(VERTICES, view=view, byteOffset=4),
        "COLOR_0": file.accessor(colors, view=view, byteOffset=16, normalized=True),
    }
    indices = file.accessor(FACES.ravel().astype("u2"))
    file.tree["meshes"].append({"primitives": [{"attributes": attributes, "indices": indices}]})
    return file.bytes()


def test_interleaved_views():
    mesh = load_mesh(interleaved(), "glb")
    compare(mesh)
    assert mesh.face_colors.tolist() == [[255, 0, 0]] * 12


def sparse(base):
    """A box whose upper corners are in a sparse accessor; the rest is zeros or a view."""
    file = Glb()
    start = np.where(VERTICES == 3, 7, VERTICES).astype("<f4") if base else np.zeros((8, 3), "<f4")
    changed = np.flatnonzero((start != VERTICES).any(axis=1))
    view = file.view(start.tobytes()) if base else None
    position = file.accessor(
        VERTICES,
        view=view,
        sparse={
            "count": len(changed),
            "indices": {
                "bufferView": file.view(changed.astype("u1").tobytes()),
                "componentType": 5121,
            },
            "values": {"bufferView": file.view(VERTICES[changed].tobytes())},
        },
    )
    indices = file.accessor(FACES.ravel().astype("u4"))
    primitive = {"attributes": {"POSITION": position}, "indices": indices}
    file.tree["meshes"].append({"primitives": [primitive]})
    return file.bytes()


@pytest.mark.parametrize("base", [True, False])
def test_sparse_accessors(base):
    compare(load_mesh(sparse(base), "glb"))


def test_without_indices():
    compare(load_mesh(box_glb(vertices=VERTICES[FACES].reshape(-1, 3), faces=None), "glb"))


def test_strips_and_fans():
    # A strip around the box, its lids as fans; degenerate triangles join nothing wrong.
    file = Glb()
    around = file.accessor(np.array([4, 0, 5, 1, 6, 2, 7, 3, 4, 0], "u2"))
    position = file.accessor(VERTICES)
    lids = [file.accessor(quad.astype("u2")) for quad in QUADS[:2]]
    parts = [{"attributes": {"POSITION": position}, "indices": around, "mode": 5}]
    parts += [{"attributes": {"POSITION": position}, "indices": i, "mode": 6} for i in lids]
    file.tree["meshes"].append({"primitives": parts})
    compare(load_mesh(file.bytes(), "glb"))
    joined = box_glb(faces=[4, 0, 5, 1, 6, 2, 7, 3, 4, 0, 0, 0, 0, 3, 1, 2], mode=5)
    assert len(load_mesh(joined, "glb").faces) == 10


def test_points_and_lines_are_counted(caplog):
    file = Glb()
    primitive = file.box()
    others = [primitive | {"mode": mode} for mode in (0, 1, 2, 3)]
    file.tree["meshes"][0]["primitives"] += others
    with caplog.at_level(logging.WARNING):
        compare(load_mesh(file.bytes(), "glb"))
    (record,) = caplog.records
    assert "1 primitive of points, 3 primitives of lines" in record.getMessage()
    file.tree["meshes"][0]["primitives"] = others
    with pytest.raises(MeshError, match="no faces in it: 1 primitive of points, 3 primitives of l"):
        load_mesh(file.bytes(), "glb")


def instanced(**attributes):
    def edit(file):
        index = {name: file.accessor(np.asarray(v)) for name, v in attributes.items()}
        file.tree["nodes"][0]["extensions"] = {"EXT_mesh_gpu_instancing": {"attributes": index}}
        file.tree["nodes"][0]["translation"] = [0, 0, 100]

    return box_glb(edit)


def test_instances_turn_and_scale():
    quarter = [0, 0, math.sqrt(0.5), math.sqrt(0.5)]  # x to y, y to -x
    mesh = load_mesh(
        instanced(
            TRANSLATION=np.array([[0, 0, 0], [10, 0, 0]], "<f4"),
            ROTATION=np.array([[0, 0, 0, 1], quarter], "<f4"),
        ),
        "glb",
    )
    compare(mesh, 12, 44, 24, (10, 2, 103), (0, 0, 100))
    small = np.rint(np.array([quarter]) * 127).astype("i1")
    turned = load_mesh(instanced(ROTATION=small), "glb")
    compare(turned, high=(0, 1, 103), low=(-2, 0, 100), tolerance=0.01)
    mirrored = load_mesh(instanced(SCALE=np.array([[-1, 1, 1], [1, 1, 2]], "<f4")), "glb")
    compare(mirrored, 18, 22 + 4 + 36, 24, (1, 2, 106), (-1, 0, 100))


def test_mirrored_matrices_keep_the_winding():
    def edit(file):
        file.tree["nodes"] = [
            {"children": [1, 2]},
            {"mesh": 0, "matrix": [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, -1, 0, 5, 0, 0, 1]},
            {"mesh": 0, "scale": [1, -2, 1]},
        ]

    compare(load_mesh(box_glb(edit), "glb"), 18, 22 + 38, 24, (6, 2, 3), (0, -4, -3))


def test_only_the_default_scene(caplog):
    def edit(file):
        file.tree |= {
            "scene": 1,
            "scenes": [{"nodes": [0]}, {"nodes": [1]}],
            "nodes": [{"mesh": 0}, {"mesh": 1, "translation": [7, 0, 0]}],
        }
        file.box()

    with caplog.at_level(logging.WARNING):
        compare(load_mesh(box_glb(edit), "glb"), high=(8, 2, 3), low=(7, 0, 0))
    assert "1 other scene" in caplog.text


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"scenes": [{"nodes": []}]}, "places none of its 1 meshes"),
        ({"scenes": [], "nodes": []}, "places none of its 1 meshes"),
        ({"scenes": [{}], "nodes": [], "meshes": []}, "it holds no mesh"),
        ({"scene": 4}, "it uses scenes 4, but there are 1"),
        ({"nodes": [{"mesh": 3}]}, "it uses meshes 3, but there are 1"),
        ({"extensionsRequired": ["ACME_voxels"]}, "glTF extension ACME_voxels, which is not read"),
        ({"asset": {"version": "1.0"}}, "glTF 1.0 is not read"),
        (
            {"nodes": [{"mesh": 0, "extensions": {"KHR_node_visibility": {"visible": False}}}]},
            "1 hidden node",
        ),
        ({"buffers": [{"byteLength": 9, "uri": "away.bin"}]}, "away.bin"),
    ],
)
def test_the_true_reason(changes, reason):
    def edit(file):
        file.tree |= changes

    data = box_glb(edit)
    if "buffers" in changes:
        size = struct.unpack_from("<I", data, 12)[0]
        data = data[20 : 20 + size]
    with pytest.raises(MeshError, match=reason):
        load_mesh(data, "glb")


def test_skins_without_joints_are_said(caplog):
    def edit(file):
        file.tree["skins"] = [{"joints": [0]}]
        file.tree["nodes"][0]["skin"] = 0

    with caplog.at_level(logging.WARNING):
        compare(load_mesh(box_glb(edit), "glb"))
    assert "1 pose by a skin" in caplog.text


def test_without_scenes_all_nodes_are_shown():
    def edit(file):
        file.tree["nodes"] = [{"children": [1]}, {"mesh": 0}]
        del file.tree["scenes"], file.tree["scene"]

    compare(load_mesh(box_glb(edit), "glb"))


def test_cut_off_and_behind(caplog):
    data = box_glb()
    compare(load_mesh(data + b"more", "glb"))
    with pytest.raises(MeshError, match=f"cut off: it promises {len(data)} bytes and has"):
        load_mesh(data[:-30], "glb")

    def shorten(file):
        file.tree["bufferViews"][0]["byteLength"] -= 4

    with pytest.raises(
        MeshError, match="an accessor needs 96 bytes of buffer view 0, which has 92"
    ):
        load_mesh(box_glb(shorten), "glb")

    def promise(file):
        file.tree["accessors"][1]["count"] = 35

    with caplog.at_level(logging.WARNING):
        assert len(load_mesh(box_glb(promise), "glb").faces) == 11
    assert "2 corners of incomplete faces" in caplog.text


def test_suffixes_are_not_trusted():
    data = box_glb()
    compare(load_mesh(data, "gltf"))
    file = Glb()
    file.box()
    uri = "data:application/octet-stream;base64," + base64.b64encode(file.body).decode()
    file.tree["buffers"] = [{"byteLength": len(file.body), "uri": uri}]
    text = json.dumps(file.tree).encode()
    compare(load_mesh(b"\xef\xbb\xbf" + text, "glb"))
    plain = "data:," + "".join(f"%{byte:02X}" for byte in file.body)
    file.tree["buffers"][0]["uri"] = plain
    compare(load_mesh(json.dumps(file.tree).encode(), "gltf"))


def draco(mixed, **more):
    draco_py = pytest.importorskip("DracoPy")
    data = draco_py.encode(VERTICES, FACES.astype(np.uint32), preserve_order=True)

    def edit(file):
        position = file.accessor(VERTICES, view=None)
        indices = file.accessor(FACES.ravel().astype("u2"), view=None)
        extension = {"bufferView": file.view(data), "attributes": {"POSITION": 0}}
        primitive = {
            "attributes": {"POSITION": position},
            "indices": indices,
            "extensions": {"KHR_draco_mesh_compression": extension},
        }
        file.tree["meshes"].append({"primitives": [primitive]})
        file.tree["nodes"].append({"mesh": 1, "translation": [4, 0, 0]})
        file.tree["scenes"][0]["nodes"] = [0, 1] if mixed else [1]
        file.tree["extensionsRequired"] = ["KHR_draco_mesh_compression"]

    return box_glb(edit)


def test_draco_is_decoded():
    compare(load_mesh(draco(mixed=True), "glb"), 12, 44, 24, (5, 2, 3), tolerance=1e-3)
    compare(load_mesh(draco(mixed=False), "glb"), high=(5, 2, 3), low=(4, 0, 0), tolerance=1e-3)


def meshopt_box(**more):
    package = pytest.importorskip("meshopt")
    file = Glb()
    padded = np.zeros((8, 4), "<i2")
    padded[:, :3] = VERTICES
    places = FACES.ravel().astype("u2")
    packed = [
        (package.encode_gltf_buffer(padded, "ATTRIBUTES"), 8, 8, "ATTRIBUTES"),
        (package.encode_gltf_buffer(places[:, None], "TRIANGLES"), 36, 2, "TRIANGLES"),
    ]
    for data, count, stride, mode in packed:
        view = file.view(data)
        source = file.tree["bufferViews"].pop()
        extension = source | {"byteStride": stride, "count": count, "mode": mode}
        file.tree["bufferViews"].append(
            {
                "buffer": 1,
                "byteLength": count * stride,
                "extensions": {"EXT_meshopt_compression": extension},
            }
            | ({"byteStride": stride} if mode == "ATTRIBUTES" else {})
        )
        assert view == len(file.tree["bufferViews"]) - 1
    attributes = {"POSITION": file.accessor(VERTICES.astype("<i2"), view=0)}
    indices = file.accessor(places, view=1)
    file.tree["meshes"].append({"primitives": [{"attributes": attributes, "indices": indices}]})
    file.tree |= {
        "buffers": [
            {"byteLength": len(file.body)},
            {"byteLength": 136, "extensions": {"EXT_meshopt_compression": {"fallback": True}}},
        ],
        "extensionsRequired": ["EXT_meshopt_compression", "KHR_mesh_quantization"],
    }
    return file.bytes()


def test_meshopt_is_decoded():
    compare(load_mesh(meshopt_box(), "glb"))


def test_compression_without_its_package_is_named(monkeypatch):
    files = {"draco": draco(mixed=True), "meshopt": meshopt_box()}
    found, imported = __import__("importlib").util.find_spec, builtins.__import__

    def refuse(name, *rest, **more):
        if name == "DracoPy":
            raise ImportError(name)
        return imported(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "meshopt" else found(name)
    )
    for extra, extension in (
        ("draco", "KHR_draco_mesh_compression"),
        ("meshopt", "EXT_meshopt_compression"),
    ):
        with pytest.raises(MeshError) as caught:
            load_mesh(files[extra], "glb")
        assert f"compressed with {extension}" in str(caught.value)
        assert f"pip install 'triform[{extra}]'" in str(caught.value)


def test_many_colors_of_one_mesh_take_its_vertices_once():
    """As our own files have them: a primitive for each colour, one accessor of positions."""
    file = Glb()
    side = 200
    x, y = np.meshgrid(np.arange(side), np.arange(side))
    position = file.accessor(np.stack([x, y, 0 * x], -1).reshape(-1, 3).astype("<f4"))
    parts = []
    for number in range(1500):
        corner = number * 20
        if corner % side == side - 1:
            corner -= 1
        places = np.array([corner, corner + 1, corner + side], "u4")
        parts.append({"attributes": {"POSITION": position}, "indices": file.accessor(places)})
    file.tree["meshes"].append({"primitives": parts})
    assert len(load_mesh(file.bytes(), "glb").faces) == 1500
