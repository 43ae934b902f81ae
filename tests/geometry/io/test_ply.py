"""PLY: words anywhere in the header, every type, strips, and colours of faces and vertices."""

import io
import logging
from pathlib import Path

import numpy as np
import pytest
from box_files import FACES, QUADS, RED, VERTICES, compare, ply
from PIL import Image

from triform.geometry.io.load import load_mesh
from triform.geometry.mesh import MeshError

CASES = Path(__file__).parents[2] / "cases"
BINARY = ("binary_little_endian", "binary_big_endian")
TRIANGLES = [[face] for face in FACES.tolist()]
# A quad and triangles, so that lists differ in length.
MIXED = [[QUADS[0].tolist()], *([t] for q in QUADS[1:].tolist() for t in (q[:3], [q[0], *q[2:]]))]
WORDS = (
    "comment end_header is not here\ncomment element face 7\ncomment property list format\n"
    "obj_info num_cols 512\nobj_info element vertex 9"
)


def test_cases_of_public_reports():
    mesh = load_mesh(CASES / "ply_facecolor.ply")
    compare(mesh)
    assert mesh.face_colors.tolist() == [list(RED)] * 12
    mesh = load_mesh(CASES / "ply_tristrips.ply")
    assert mesh.area == 1 and (mesh.face_normals == [0, 0, 1]).all()


BOXES = {
    "text": ply(),
    "words": ply(head=WORDS),
    "words between": ply(between=WORDS),
    "triangles": ply(polygons=TRIANGLES),
    "mixed": ply(polygons=MIXED),
    "lines end in CRLF": ply(line="\r\n", head=WORDS),
    "lines end in CR": ply(line="\r"),
    "byte-order mark": b"\xef\xbb\xbf" + ply(),
    "UTF-16": ply().decode().encode("utf-16"),
    "tabs": ply().replace(b" ", b"\t"),
    "blanks at line ends": ply().replace(b"\n", b" \n"),
    "int64": ply().replace(b"uchar int vertex", b"uint8 int64 vertex"),
    "upper case": ply(head=WORDS).replace(b"element", b"ELEMENT").replace(b"format", b"FORMAT"),
    "vertex_index": ply(face="list uchar int vertex_index"),
    "a name of its own": ply(face="list uchar int corners"),
    "long counts": ply(face="list int uint vertex_indices"),
    "one line": ply().replace(b"\n0 0 0\n", b"\n0 0\n0\n"),
    "scientific": ply().replace(b"\n1 2 3\n", b"\n1e0 +2.0 .3E1\n"),
    "columns before and behind": ply(
        vertex="uchar flag\nfloat x\ndouble y\nfloat32 z\nint quality",
        rows=[[1, *row, 9] for row in VERTICES.tolist()],
        face="uchar kind\nlist uint8 int32 vertex_indices\nlist uchar float more\nfloat area",
        polygons=[[3, quad, [0.5] * n, 2.5] for n, quad in enumerate(QUADS.tolist())],
    ),
    "values without a face element": ply(
        between="element edge 1\nproperty int vertex1\nproperty int vertex2"
    ).replace(b"\n4 0 3 2 1", b"\n0 1\n4 0 3 2 1"),
}
for kind in BINARY:
    BOXES |= {
        kind: ply(kind),
        f"{kind} words": ply(kind, head=WORDS),
        f"{kind} triangles": ply(kind, polygons=TRIANGLES),
        f"{kind} mixed": ply(kind, polygons=MIXED),
        f"{kind} CRLF": ply(kind, line="\r\n"),
        f"{kind} CR": ply(kind, line="\r"),
        f"{kind} long counts": ply(kind, face="list int uint vertex_indices"),
        f"{kind} mixed long counts": ply(
            kind, face="list ushort ushort vertex_indices", polygons=MIXED
        ),
        f"{kind} columns": ply(
            kind,
            vertex="uchar flag\nfloat x\ndouble y\nfloat32 z\nint quality",
            rows=[[1, *row, 9] for row in VERTICES.tolist()],
            face="uchar kind\nlist uint8 int32 vertex_indices\nlist uchar float more\nfloat area",
            polygons=[[3, quad, [0.5] * n, 2.5] for n, quad in enumerate(QUADS.tolist())],
        ),
    }


@pytest.mark.parametrize("name", BOXES)
def test_boxes(name):
    compare(load_mesh(BOXES[name], "ply"))


RGB = "uchar red\nuchar green\nuchar blue"
FLOATS = "float red\nfloat green\nfloat blue"


@pytest.mark.parametrize("kind", ["ascii", *BINARY])
@pytest.mark.parametrize(
    ("names", "values"),
    [
        (RGB, RED),
        (RGB + "\nuchar alpha", (*RED, 128)),
        (FLOATS, [value / 255 for value in RED]),
        (FLOATS, RED),
        (RGB.replace("uchar", "ushort"), [value * 257 for value in RED]),
        (RGB.replace("uchar", "int"), RED),
        (RGB.replace("uchar ", "uchar diffuse_"), RED),
        ("uchar r\nuchar g\nuchar b", RED),
    ],
)
def test_colors_of_vertices_and_faces(kind, names, values):
    rows = [[*row, *values] for row in VERTICES.tolist()]
    of_vertices = ply(kind, vertex="float x\nfloat y\nfloat z\n" + names, rows=rows)
    polygons = [[*row, *values] for row in MIXED]
    of_faces = ply(kind, face="list uchar int vertex_indices\n" + names, polygons=polygons)
    opacity = 128 / 255 if "alpha" in names else 1
    for data in (of_vertices, of_faces):
        mesh = load_mesh(data, "ply", appearance=True)
        compare(mesh)
        assert mesh.face_colors.tolist() == [list(RED)] * 12
        assert [each.opacity for each in mesh.appearance.materials] == [opacity]


def test_dark_bytes_are_not_taken_for_fractions():
    rows = [[*row, 1, 0, 1] for row in VERTICES.tolist()]
    data = ply(vertex="float x\nfloat y\nfloat z\n" + RGB, rows=rows)
    assert load_mesh(data, "ply").face_colors[0].tolist() == [1, 0, 1]


def strips(text, kind="int"):
    data = ply(polygons=[]).decode()
    element = f"element tristrips {len(text)}\nproperty list int {kind} vertex_indices\nend_header"
    rows = "".join(f"{len(strip.split())} {strip}\n" for strip in text)
    return (data.replace("end_header", element) + rows).encode()


def test_strips_restart_and_keep_their_winding():
    around, low, high = "4 0 5 1 6 2 7 3 4 0", "0 3 1 2", "4 5 7 6"
    compare(load_mesh(strips([around, low, high]), "ply"))
    compare(load_mesh(strips([f"{around} -1 {low} -1 {high}"]), "ply"))
    unsigned = strips([f"{around} 4294967295 {low} 4294967295 {high}"], "uint")
    compare(load_mesh(unsigned, "ply"))
    with pytest.raises(MeshError, match="strips use vertex 8, but there are 8"):
        load_mesh(strips(["0 1 8"]), "ply")


def test_textures_by_vertices_by_corners_and_by_numbers():
    images = {}
    for name, color in (("a b.png", (255, 0, 0)), ("c.png", (0, 0, 255))):
        file = io.BytesIO()
        Image.new("RGB", (2, 2), color).save(file, "png")
        images[name] = file.getvalue()
    head = "comment TextureFile a b.png\ncomment TextureFile c.png"
    uv = [0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0]
    polygons = [[quad, uv, n % 2] for n, quad in enumerate(QUADS.tolist())]
    face = "list uchar int vertex_indices\nlist uchar float texcoord\nint texnumber"
    for kind in ("ascii", *BINARY):
        data = ply(kind, head=head, face=face, polygons=polygons)
        mesh = load_mesh(data, "ply", images, appearance=True)
        compare(mesh)
        assert (
            mesh.face_colors.tolist()
            == [[255, 0, 0]] * 2
            + [[0, 0, 255]] * 2
            + [[255, 0, 0]] * 2
            + [[0, 0, 255]] * 2
            + [[255, 0, 0]] * 2
            + [[0, 0, 255]] * 2
        )
        assert mesh.appearance.uv[0].tolist() == [[0, 0], [1, 0], [1, 1]]
    rows = [[*row, 0.25, 0.5] for row in VERTICES.tolist()]
    data = ply(head=head, vertex="float x\nfloat y\nfloat z\nfloat s\nfloat t", rows=rows)
    assert load_mesh(data, "ply", images).face_colors.tolist() == [[255, 0, 0]] * 12


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (ply(polygons=[]), "no faces in it: it is a point cloud of 8 points"),
        (
            ply(
                polygons=[],
                between="element edge 2\nproperty int vertex1\nproperty int vertex2",
            )
            + b"0 1\n1 2\n",
            "point cloud of 8 points, 2 edges",
        ),
        (ply(polygons=[[[0, 1]], [[1]]]), "2 faces of fewer than three corners"),
        (ply().replace(b"element face", b"element triangles"), "6 of triangles, which is no known"),
        (ply(rows=[], polygons=[]), "it holds no vertices"),
        (ply()[:-8], "cut off: it promises 6 of face, but there are fewer, about 5"),
        (ply(BINARY[0])[:-8], "cut off: it promises 6 of face"),
        (ply(BINARY[0], polygons=MIXED)[:-8], "cut off: it promises 11 of face"),
        (ply(BINARY[1], polygons=[])[:-8], "cut off: it promises 8 of vertex"),
        (ply().partition(b"end_header")[0], "its header does not end"),
        (ply().replace(b"float y", b"half y"), "header: 'property half y'"),
        (ply().replace(b"ascii", b"latin"), "its format is 'latin'"),
        (ply(vertex="float x\nfloat y", rows=[[0, 0]] * 3), "its vertices have no x, y and z"),
        (ply().replace(b"\n1 2 3\n", b"\n1 two 3\n"), "words between its numbers"),
        (ply().replace(b"\n4 4 5 6 7", b"\n4 4 5 6 8"), "faces use vertices 1 to 9"),
        (ply().replace(b" 0\n0 0 3", b" 0 7\n0 0 3 "), "declares"),
        (ply(rows=[[0, 0, n] for n in range(8)]), "are degenerate, without an area"),
        (b"plywood", "does not begin with ply"),
    ],
)
def test_the_true_reason(data, reason):
    with pytest.raises(MeshError, match=reason):
        load_mesh(data, "ply")


def test_what_is_behind_is_said(caplog):
    with caplog.at_level(logging.WARNING):
        compare(load_mesh(ply(tail=b"1 2 3\n"), "ply"))
        compare(load_mesh(ply(BINARY[0], tail=b"more"), "ply"))
        compare(load_mesh(ply(BINARY[0], tail=b"\n"), "ply"))
        compare(load_mesh(ply(polygons=[*TRIANGLES, [[0, 1]]]), "ply"))
    assert [record.getMessage() for record in caplog.records] == [
        "mesh: left out: 3 values behind the data",
        "mesh: left out: 4 bytes behind the data",
        "mesh: left out: 1 face of fewer than three corners",
    ]


def test_concave_polygons():
    ring = [[0, 0, 0], [4, 0, 0], [4, 4, 0], [2, 1, 0], [0, 4, 0]]
    for kind in ("ascii", *BINARY):
        mesh = load_mesh(ply(kind, rows=ring, polygons=[[[0, 1, 2, 3, 4]]]), "ply")
        assert mesh.area == pytest.approx(10) and np.allclose(mesh.face_normals, [0, 0, 1])
