import base64
import io
import json
import os
import struct
import time
import zipfile

import numpy as np
import pytest
import trimesh
from PIL import Image

from triform.geometry.io import limits
from triform.geometry.io.load import FORMATS, load_mesh
from triform.geometry.mesh import MeshError
from triform.geometry.voxels.surface import is_watertight

TRIANGLE = "v 0 0 0\nv 1 0 0\nv 0 1 0\n"


def ply(vertices=3, faces=1, body="0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n", kind="ascii"):
    return (
        f"ply\nformat {kind} 1.0\nelement vertex {vertices}\nproperty float x\nproperty float y\n"
        f"property float z\nelement face {faces}\nproperty list uchar int vertex_indices\n"
        f"end_header\n{body}"
    ).encode()


def gltf(**changes):
    data = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], "<f4").tobytes()
    tree = {
        "asset": {"version": "2.0"},
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"}],
        "bufferViews": [{"buffer": 0, "byteLength": 36}],
        "buffers": [{"byteLength": 36, "uri": "data:;base64," + base64.b64encode(data).decode()}],
    }
    return json.dumps(tree | changes).encode()


def glb(tree: bytes, body=b"", promised=None):
    tree += b" " * (-len(tree) % 4)
    length = 12 + 8 + len(tree) + 8 + len(body) if promised is None else promised
    return b"".join(
        (
            struct.pack("<4sII", b"glTF", 2, length),
            struct.pack("<I4s", len(tree), b"JSON") + tree,
            struct.pack("<I4s", len(body), b"BIN\0") + body,
        )
    )


def dae(nodes, scene):
    return (
        '<?xml version="1.0"?><COLLADA xmlns="http://www.collada.org/2005/11/COLLADASchema" '
        'version="1.4.1"><asset><unit meter="1"/></asset><library_nodes>'
        + nodes
        + f'</library_nodes><library_visual_scenes><visual_scene id="s">{scene}</visual_scene>'
        '</library_visual_scenes><scene><instance_visual_scene url="#s"/></scene></COLLADA>'
    ).encode()


def threemf(resources, build):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(
            "3D/3dmodel.model",
            '<?xml version="1.0"?><model unit="millimeter" xmlns="http://schemas.microsoft.com/'
            f'3dmanufacturing/core/2015/02"><resources>{resources}</resources>'
            f"<build>{build}</build></model>",
        )
    return buffer.getvalue()


MESH_3MF = (
    '<object id="m"><mesh><vertices><vertex x="0" y="0" z="0"/><vertex x="1" y="0" z="0"/>'
    '<vertex x="0" y="1" z="0"/></vertices><triangles><triangle v1="0" v2="1" v3="2"/>'
    "</triangles></mesh></object>"
)
DOUBLING_3MF = MESH_3MF + "".join(
    f'<object id="{i}"><components>'
    + f'<component objectid="{i - 1 if i else "m"}"/>' * 2
    + "</components></object>"
    for i in range(40)
)
DOUBLING_DAE = '<node id="n0"/>' + "".join(
    f'<node id="n{i}">' + f'<instance_node url="#n{i - 1}"/>' * 2 + "</node>" for i in range(1, 40)
)


HOSTILE = {
    "nan.obj": TRIANGLE.replace("1 0 0", "nan 0 0") + "f 1 2 3",
    "infinite.obj": TRIANGLE.replace("1 0 0", "1e999 0 0") + "f 1 2 3",
    "enormous.obj": TRIANGLE.replace("1 0 0", "1e30 0 0") + "f 1 2 3",
    "zero_faces.obj": TRIANGLE,
    "index_zero.obj": TRIANGLE + "f 0 1 2",
    "index_beyond.obj": TRIANGLE + "f 1 2 4",
    "index_before.obj": TRIANGLE + "f -1 -2 -4",
    "index_huge.obj": TRIANGLE + "f 1 2 99999999999999999999999",
    "index_text.obj": TRIANGLE + "f 1 2 x",
    "two_corners.obj": TRIANGLE + "f 1 2",
    "short_vertex.obj": "v 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3",
    "binary.obj": bytes(range(256)) * 64,
    "empty.obj": b"",
    "blank.off": b" \n\n ",
    "huge_counts.off": "OFF\n3 1000000000000 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n",
    "huge_vertices.off": "OFF\n1000000000000 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n",
    "negative_counts.off": "OFF\n-3 -1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n",
    "index_beyond.off": "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 3\n",
    "index_negative.off": "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 -1\n",
    "truncated.off": "OFF\n3 1 0\n0 0 0\n1 0",
    "corner_count.off": "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n1000000000 0 1 2\n",
    "no_counts.off": "0.5 0 0\n1 0 0\n0 1 0\n3 0 1 2\n",
    "huge_counts.ply": ply(3, 10**12),
    "huge_binary.ply": ply(10**12, 10**12, "x" * 40, "binary_little_endian"),
    "huge_list.ply": ply(1, 1, "\0" * 12 + "\xff" + "\0" * 90, "binary_little_endian"),
    "index_beyond.ply": ply(body="0 0 0\n1 0 0\n0 1 0\n3 0 1 3\n"),
    "index_negative.ply": ply(body="0 0 0\n1 0 0\n0 1 0\n3 0 1 -1\n"),
    "endless_header.ply": b"ply\nformat ascii 1.0\n" + b"comment x\n" * 1000,
    "nan.ply": ply(body="nan 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"),
    "pickle.ply": b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.",
    "huge_count.stl": bytes(80) + struct.pack("<I", 2**32 - 1) + bytes(100),
    "truncated.stl": bytes(80) + struct.pack("<I", 2) + bytes(50),
    "zero_faces.stl": bytes(80) + struct.pack("<I", 0),
    "nan.stl": bytes(80) + struct.pack("<I", 1) + struct.pack("<12f", *[np.nan] * 12) + b"\0\0",
    "text.stl": "solid x\nfacet normal 0 0 0\nouter loop\nvertex 0 0 zero\n",
    "obj_inside.stl": TRIANGLE + "f 1 2 3",
    "truncated.glb": glb(gltf())[:60],
    "huge_chunk.glb": struct.pack("<4sIII4s", b"glTF", 2, 2**32 - 1, 2**32 - 1, b"JSON") + b"{}",
    "not_json.glb": glb(b"\xff\xfe{{{"),
    "outside_uri.gltf": gltf(buffers=[{"byteLength": 36, "uri": "../outside.bin"}]),
    "etc_passwd.gltf": gltf(buffers=[{"byteLength": 36, "uri": "/etc/passwd"}]),
    "http.gltf": gltf(buffers=[{"byteLength": 36, "uri": "http://127.0.0.1:9/x.bin"}]),
    "file_uri.gltf": gltf(buffers=[{"byteLength": 36, "uri": "file:///etc/passwd"}]),
    "no_buffer.gltf": gltf(accessors=[{"componentType": 5126, "count": 10**12, "type": "VEC3"}]),
    "negative.gltf": gltf(
        accessors=[{"bufferView": 0, "componentType": 5126, "count": -3, "type": "VEC3"}]
    ),
    "many_primitives.gltf": gltf(
        accessors=[{"componentType": 5126, "count": 10**6, "type": "VEC3"}],
        meshes=[{"primitives": [{"attributes": {"POSITION": 0}}] * 500}],
    ),
    "cycle.gltf": gltf(nodes=[{"children": [1]}, {"children": [0], "mesh": 0}]),
    "doubling.gltf": gltf(nodes=[{"children": [i + 1, i + 1]} for i in range(40)] + [{"mesh": 0}]),
    "chain.gltf": gltf(nodes=[{"children": [i + 1], "mesh": 0} for i in range(9999)] + [{}]),
    "deep.gltf": b"[" * 200_000,
    "wrong_index.gltf": gltf(nodes=[{"mesh": 7}]),
    "doubling.dae": dae(DOUBLING_DAE, '<node id="r"><instance_node url="#n39"/></node>'),
    "cycle.dae": dae(
        '<node id="a"><instance_node url="#a"/></node>', '<node><instance_node url="#a"/></node>'
    ),
    "garbage.dae": b"<COLLADA><<<>>>",
    "entities.dae": b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + i, b"&%c;" % (97 + i) * 10) for i in range(12))
    + b"]><COLLADA>&m;</COLLADA>",
    "outside_entity.dae": b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM '
    b'"file:///etc/passwd">]><COLLADA>&a;</COLLADA>',
    "doubling.3mf": threemf(DOUBLING_3MF, '<item objectid="39"/>'),
    "cycle.3mf": threemf(
        '<object id="a"><components><component objectid="a"/></components></object>',
        '<item objectid="a"/>',
    ),
    "not_zip.3mf": b"PK\3\4 and then nothing",
    "unknown.xyz": "0 0 0",
    "archive.zip": b"PK\5\6" + bytes(18),
    "code.py": "import os",
    "no_suffix": "OFF\n",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_file_ends_in_one_clear_line(tmp_path, name):
    content = HOSTILE[name]
    path = tmp_path / "models" / name
    path.parent.mkdir()
    (tmp_path / "outside.bin").write_bytes(bytes(36))
    path.write_bytes(content.encode("latin-1") if isinstance(content, str) else content)
    start = time.process_time()
    with pytest.raises(MeshError) as caught:
        load_mesh(path)
    assert time.process_time() - start < 3
    text = str(caught.value)
    assert name in text and "\n" not in text and len(text) < 400 and text.isprintable()


@pytest.mark.parametrize("file_type", FORMATS)
def test_what_downloads_leave_in_place_of_a_model(file_type):
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 12345\n"
    for data, reason in (
        (pointer, "a pointer of Git LFS"),
        (b"\n<!DOCTYPE html><html>404</html>", "a web page"),
        (b"\x1f\x8b\x08" + bytes(20), "compressed by gzip|gzip file|ends in the middle"),
        (b"PK\x03\x04" + bytes(100), "a ZIP archive|no 3MF file"),
    ):
        with pytest.raises(MeshError, match=reason):
            load_mesh(data, file_type)


def test_zip_bomb(monkeypatch):
    monkeypatch.setattr(limits, "MAX_MEMORY", 15 * 10**6)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("3D/3dmodel.model", bytes(2 * 10**6))
    assert len(buffer.getvalue()) < 10**4
    with pytest.raises(MeshError, match=r"2000000 bytes of 3MF .* the limit is 1000000"):
        load_mesh(buffer.getvalue(), "3mf")


@pytest.mark.parametrize("kind", ["folder", "missing", "pipe", "loop", "device", "nul", "long"])
def test_what_is_no_file(tmp_path, kind):
    path = tmp_path / "thing.obj"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "nul":
        path = str(tmp_path) + "/a\0b.obj"
    elif kind == "long":
        path = tmp_path / ("x" * 5000 + ".obj")
    with pytest.raises(MeshError) as caught:
        load_mesh(path)
    assert "\n" not in str(caught.value)


def test_a_sparse_giant_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "giant.stl"
    with open(path, "wb") as file:
        file.truncate(2**40)
    with pytest.raises(MeshError, match="larger than"):
        load_mesh(path)


@pytest.mark.parametrize(
    "name", ["../secret.mtl", "/{root}/secret.mtl", "link.mtl", "..\\secret.mtl"]
)
def test_materials_outside_the_folder_are_not_read(tmp_path, name):
    (tmp_path / "secret.mtl").write_text("newmtl red\nKd 1 0 0\n")
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "link.mtl").symlink_to(tmp_path / "secret.mtl")
    name = name.format(root=tmp_path)
    (folder / "a.obj").write_text(f"mtllib {name}\nusemtl red\n{TRIANGLE}f 1 2 3\n")
    assert load_mesh(folder / "a.obj").face_colors is None
    (folder / "own.mtl").write_text("newmtl red\nKd 1 0 0\n")
    (folder / "b.obj").write_text(f"mtllib own.mtl\nusemtl red\n{TRIANGLE}f 1 2 3\n")
    assert load_mesh(folder / "b.obj").face_colors.tolist() == [[255, 0, 0]]


def test_textures_that_are_traps_leave_a_model_without_texture(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n garbage")
    os.mkfifo(tmp_path / "pipe.png")
    for image in ("bad.png", "pipe.png", "missing.png", "../../../etc/passwd", "."):
        (tmp_path / "a.mtl").write_text(f"newmtl m\nKd 0 1 0\nmap_Kd {image}\n")
        (tmp_path / "a.obj").write_text(
            f"mtllib a.mtl\nusemtl m\n{TRIANGLE}vt 0 0\nvt 1 0\nvt 0 1\nf 1/1 2/2 3/3\n"
        )
        assert load_mesh(tmp_path / "a.obj").face_colors.tolist() == [[0, 255, 0]]


def test_a_polygon_with_a_million_corners():
    angle = np.linspace(0, 2 * np.pi, 1000, endpoint=False)
    lines = [f"v {x:.9f} {y:.9f} 0" for x, y in zip(np.cos(angle), np.sin(angle), strict=True)]
    lines.append("f " + " ".join(map(str, range(1, 1001))))
    assert load_mesh("\n".join(lines).encode(), "obj").area == pytest.approx(np.pi, rel=1e-4)
    lines[-1] += lines[-1][1:] * 999
    assert len(load_mesh("\n".join(lines).encode(), "obj").faces) == 10**6 - 2


@pytest.mark.parametrize("file_type", ["obj", "off", "stl", "ply", "glb", "gltf", "dae", "3mf"])
def test_every_format_gives_the_same_solid(tmp_path, file_type):
    ball = trimesh.creation.icosphere(2)
    if file_type == "gltf":
        for name, data in trimesh.Scene(ball).export(file_type="gltf").items():
            (tmp_path / name).write_bytes(data)
        path = tmp_path / "model.gltf"
    else:
        path = tmp_path / f"ball.{file_type.upper()}"
        path.write_bytes(_bytes(ball.export(file_type=file_type)))
    mesh = load_mesh(path)
    assert (len(mesh.vertices), len(mesh.faces)) == (162, 320)
    assert is_watertight(mesh)
    assert mesh.volume == pytest.approx(ball.volume, rel=1e-5)
    again = load_mesh(
        io.BytesIO(path.read_bytes()),
        file_type,
        {p.name: p.read_bytes() for p in tmp_path.iterdir()},
    )
    assert np.array_equal(again.vertices, mesh.vertices)
    assert np.array_equal(again.faces, mesh.faces)


def test_formats_are_all_tried_above():
    of_their_own = {"wrl", "step", "iges"}  # test_vrml.py, test_cad.py
    assert set(FORMATS) - of_their_own == {"obj", "off", "stl", "ply", "glb", "gltf", "dae", "3mf"}


def _bytes(data):
    return data.encode() if isinstance(data, str) else data


def test_off_colors_and_comments():
    rows = "# a model\n3 1 0 # counts\n0 0 0\n1 0 0\n\n0 1 0\n3 0 1 2"
    assert load_mesh(f"OFF\n{rows}".encode(), "off").face_colors is None
    assert load_mesh(f"OFF\n{rows} 10 20 30".encode(), "off").face_colors.tolist() == [[10, 20, 30]]
    assert load_mesh(f"OFF\n{rows} 1.0 0.2 0 1".encode(), "off").face_colors.tolist() == [
        [255, 51, 0]
    ]
    colored = "COFF 3 1 0\n0 0 0 9 9 9 255\n1 0 0 9 9 9 255\n0 1 0 9 9 9 255\n3 0 1 2"
    assert load_mesh(colored.encode(), "off").face_colors.tolist() == [[9, 9, 9]]


def test_off_with_its_counts_on_the_first_line():
    text = "OFF4 4 0\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 2 1\n3 0 1 3\n3 0 3 2\n3 1 2 3\n"
    mesh = load_mesh(text.encode(), "off")
    assert is_watertight(mesh) and mesh.volume == pytest.approx(1 / 6)


def test_scenes_place_and_mirror_their_parts():
    box = trimesh.creation.box()
    scene = trimesh.Scene()
    scene.add_geometry(box, transform=trimesh.transformations.translation_matrix([5, 0, 0]))
    scene.add_geometry(box, transform=np.diag([-2.0, 1, 1, 1]))
    mesh = load_mesh(scene.export(file_type="glb"), "glb")
    assert np.allclose(mesh.bounds, [[-1, -0.5, -0.5], [5.5, 0.5, 0.5]])
    assert is_watertight(mesh)
    assert mesh.volume == pytest.approx(3)  # a mirrored part still winds outward


def test_colors_of_vertices_faces_materials_and_textures():
    red, blue = [255, 0, 0, 255], [0, 0, 255, 255]
    box = trimesh.creation.box()
    box.visual.face_colors = [red] * 6 + [blue] * 6
    assert load_mesh(box.export(file_type="ply"), "ply").face_colors.tolist() == (
        [red[:3]] * 6 + [blue[:3]] * 6
    )
    box.visual = trimesh.visual.ColorVisuals(box, vertex_colors=[red] * 8)
    for file_type in ("ply", "glb"):
        colors = load_mesh(box.export(file_type=file_type), file_type).face_colors
        assert colors.tolist() == [red[:3]] * 12

    # Left half of the image dark, right half light; one face looks at each, one at both.
    image = np.zeros((8, 64, 3), np.uint8)
    image[:, 32:] = 200
    png = io.BytesIO()
    Image.fromarray(image).save(png, "png")
    files = {"m.mtl": b"newmtl m\nmap_Kd -s 1 1 1 p.png\n", "p.png": png.getvalue()}
    text = TRIANGLE + (
        "mtllib m.mtl\nusemtl m\nvt 0.05 0\nvt 0.45 0\nvt 0.05 1\nvt 0.55 0\nvt 0.95 0\nvt 0.95 1\n"
        "vt 0 0\nvt 1 0\nvt 0.5 1\nf 1/1 2/2 3/3\nf 1/4 2/5 3/6\nf 1/7 2/8 3/9\nf 1 2 3\n"
    )
    colors = load_mesh(text.encode(), "obj", files).face_colors
    assert colors[:2].tolist() == [[0] * 3, [200] * 3]
    assert 60 < colors[2, 0] < 140
    assert colors[3].tolist() == [200] * 3  # no texture coordinates: the plain colour


def test_open_files_and_bytes_need_a_type():
    with pytest.raises(MeshError, match="no mesh format"):
        load_mesh(TRIANGLE.encode())


@pytest.mark.realdata
def test_real_models_load_with_colors(furniture_dir):
    library = sorted(furniture_dir.glob("*.sh3f"))[0]
    with zipfile.ZipFile(library) as archive:
        names = [name for name in sorted(archive.namelist()) if name.endswith(".obj")][::12]
        assert names
        for name in names:
            folder = name.rpartition("/")[0]
            files = {
                other[len(folder) + 1 :]: archive.read(other)
                for other in archive.namelist()
                if other.startswith(folder + "/")
            }
            mesh = load_mesh(archive.read(name), "obj", files)
            assert len(mesh.faces) > 10 and mesh.face_colors is not None
            assert len(np.unique(mesh.vertices, axis=0)) == len(mesh.vertices)


@pytest.mark.parametrize(
    ("data", "file_type", "other"),
    [(ply(), "obj", "ply"), (glb(gltf()), "stl", "glb"), (b"#VRML V2.0 utf8\n", "ply", "wrl")],
)
def test_a_file_under_the_suffix_of_another_format(data, file_type, other):
    reason = f"a {other.upper()} file, not {file_type.upper()} as its name says; rename it to end"
    with pytest.raises(MeshError, match=f"^mesh: {reason} in .{other}$"):
        load_mesh(data, file_type)
