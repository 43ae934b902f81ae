import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from triform.geometry.io.load import load_mesh
from triform.geometry.io.mtl import read_materials
from triform.geometry.io.obj import read_obj
from triform.geometry.mesh import MeshError

CASES = Path(__file__).parent / "cases"
SQUARE = b"v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n"


def nothing(name):
    return None


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize(
    "face",
    [
        b"f 1 2 3 4",
        b"f\t1\t2\t3\t4",
        b"f 1/1 2/2 3/3 4/4",
        b"f 1//9 2//9 3//9 4//9",
        b"f 1/1/1 2/2/2 3/3/3 4/4/4",
        b"f -4 -3 -2 -1",
        b"f 1 2 \\\n 3 4",
        b"f 1 2 3 4\r",
    ],
)
def test_ways_to_write_a_face(face):
    mesh = read_obj(SQUARE + face, nothing)
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3]] and mesh.area == 1


def test_relative_indices_count_from_where_they_stand():
    moved = SQUARE.replace(b" 0\n", b" 5\n")
    mesh = read_obj(SQUARE + b"f -4 -3 -2\n" + moved + b"f -4 -3 -2\n", nothing)
    assert mesh.faces.tolist() == [[0, 1, 2], [4, 5, 6]]


def test_lines_points_and_stubs_are_left_out_and_counted(caplog):
    extra = b"# note\no thing\ng group\ns off\nl 1 2\np 1\nf 1 2\nf\nvn 0 0 1\nunknown x\n\n"
    assert len(read_obj(SQUARE + extra + b"l 2 3\nf 1 2 3", nothing).faces) == 1
    assert [record.getMessage() for record in caplog.records] == [
        "model: left out: 2 lines, 1 point element, 2 faces of less than three corners"
    ]


def test_errors_name_the_line():
    with pytest.raises(MeshError, match=r"^line 5: 'three' is no number$"):
        read_obj(SQUARE + b"f 1 2 three", nothing)
    with pytest.raises(MeshError, match=r"^line 1: '0,5' is no number; decimals are written with"):
        read_obj(b"v 0,5 0 0\n", nothing)


def test_vertex_colors_and_materials():
    colored = b"".join(b"v %d %d 0 1 0.5 0\n" % (i, i * i) for i in range(3))
    assert read_obj(colored + b"f 1 2 3", nothing).face_colors.tolist() == [[255, 128, 0]]
    library = b"newmtl my red\n Kd 1 0 0\nnewmtl x\nKd broken\nKd 0 0 1 # blue\n"
    text = SQUARE + b"mtllib a b.mtl\nf 1 2 3\nusemtl my red\nf 1 3 4\nusemtl none\nf 1 2 4"
    colors = read_obj(text, {"a b.mtl": library}.get).face_colors
    assert colors.tolist() == [[200] * 3, [255, 0, 0], [200] * 3]
    assert read_obj(text, nothing).face_colors is None


def test_damaged_material_libraries_leave_what_is_whole():
    materials = read_materials(b"Kd 1 1 1\nnewmtl a\nKd 0 1\nmap_Kd no.png\n\xff\xfe\0", nothing)
    assert list(materials) == ["a"]
    with_uv, plain = materials["a"]
    assert with_uv is plain and plain.texture is None
    assert np.array_equal(plain.color, [200] * 3) and plain.opacity == 1


def test_only_the_materials_that_faces_use_are_read():
    """A library of a whole collection: images of other models' materials are not even opened."""
    library = b"newmtl other\nKd 0 1 0\nmap_Kd other.png\nnewmtl own # old\nKd 1 0 0\n"
    asked: list[str] = []

    def find(name: str) -> bytes | None:
        asked.append(name)
        return library if name == "all.mtl" else None

    text = SQUARE + b"mtllib all.mtl\nusemtl own\nf 1 2 3\n"
    assert read_obj(text, find).face_colors.tolist() == [[255, 0, 0]]
    assert asked == ["all.mtl"]
    assert list(read_materials(library, nothing, names=("own",))) == ["own # old"]
    assert list(read_materials(library, nothing)) == ["other", "own # old"]


def test_relative_texture_indices_count_from_where_they_stand():
    """-1 is the last `vt` read so far, whatever follows; beyond the first there is none."""
    library = {"m": b"newmtl a\nmap_Kd t.png\n", "t.png": png(np.zeros((2, 2, 3), np.uint8))}
    text = (
        b"mtllib m\n" + SQUARE + b"vt 0.1 0.9\nvt 0.2 0.8\nvt 0.3 0.7\nusemtl a\n"
        b"f 1/-3 2/-2 3/-1\nvt 0.4 0.6\nf 1/-1 2/1 3/-4\nf 1/-5 2/1 3/2\n"
    )
    look = read_obj(text, library.get, appearance=True).appearance
    first, second, _ = look.uv.tolist()
    assert first == [pytest.approx(uv) for uv in ([0.1, 0.9], [0.2, 0.8], [0.3, 0.7])]
    assert second == [pytest.approx(uv) for uv in ([0.4, 0.6], [0.1, 0.9], [0.1, 0.9])]
    # The third has a corner without coordinates: it shows the plain material.
    textures = [look.materials[number].texture is not None for number in look.material]
    assert textures == [True, True, False]


def test_a_material_stands_in_place_of_the_vertices_colors():
    """The face with the red material is red, not red times the green of its corners."""
    green = b"".join(b"v %d %d 0 0 1 0\n" % (i, i * i) for i in range(3))
    text = green + b"mtllib m\nf 1 2 3\nusemtl red\nf 1 2 3\n"
    look = read_obj(text, {"m": b"newmtl red\nKd 1 0 0\n"}.get, appearance=True).appearance
    colors = look.colors_at(np.arange(2), np.full((2, 3), 1 / 3))
    assert colors.tolist() == [[0, 255, 0], [255, 0, 0]]


@pytest.mark.parametrize(
    ("path", "color"),
    [
        ("obj_bom.obj", None),
        ("obj_cont_crlf.obj", None),
        ("obj_trailing_comment_v.obj", None),
        ("mtl_two_in_line/mtl_two_in_line.obj", [204, 26, 13]),
        ("mtl_kd_comment/mtl_kd_comment.obj", [204, 26, 13]),
        ("mtl_tex16/mtl_tex16.obj", [200, 200, 200]),
    ],
)
def test_files_that_other_programs_read_wrong(path, color):
    """Boxes of 1 x 2 x 3."""
    mesh = load_mesh(CASES / path)
    assert (len(mesh.faces), mesh.volume, mesh.area) == (12, 6, 22)
    assert color is None or mesh.face_colors.tolist() == [color] * 12


RED, BLUE = b"newmtl red\nKd 1 0 0\n", b"newmtl blue\nKd 0 0 1\n"


@pytest.mark.parametrize(
    "line",
    [
        b"mtllib a.mtl b.mtl",
        b"mtllib b.mtl\ta.mtl  ",
        b"mtllib a.mtl\nmtllib b.mtl",
        b'mtllib "a.mtl" "b.mtl"',
        b"mtllib a.mtl b.mtl # both",
        b"mtllib my lib.mtl",
        b'mtllib "my lib.mtl"',
        b'mtllib "my lib.mtl" # quoted',
        b"mtllib none.mtl my lib.mtl",
        b"mtllib a.mtl \\\r\n b.mtl",
        b"mtllib first second",
        b"mtllib C:\\work\\my lib.mtl",
        b"MTLLIB a.mtl b.mtl",
    ],
)
def test_ways_to_name_material_libraries(line):
    files = {"a.mtl": RED, "b.mtl": BLUE, "my lib.mtl": RED + BLUE, "first": RED, "second": BLUE}
    text = line + b"\n" + SQUARE + b"usemtl red\nf 1 2 3\nusemtl blue # not red\nf 1 3 4\n"
    colors = load_mesh(text, "obj", files).face_colors
    assert colors.tolist() == [[255, 0, 0], [0, 0, 255]]


@pytest.mark.parametrize(
    ("library", "color"),
    [
        (b"newmtl m\nKd 0.8 0.1 0.05 # red", [204, 26, 13]),
        (b"newmtl m\nKd 0.8 0.1 0.05#red", [204, 26, 13]),
        (b"newmtl m\n\tKD\t0.8\t0.1\t0.05", [204, 26, 13]),
        (b"newmtl m # wood\nKd 0.8 0.1 0.05", [204, 26, 13]),
        (b'newmtl "m"\nKd 0.8 0.1 0.05', [204, 26, 13]),
        (b"\xef\xbb\xbfnewmtl m\rKd 0.8 0.1 0.05\r", [204, 26, 13]),
        (b"newmtl m\nKd 0.8 \\\r\n 0.1 0.05\r\n", [204, 26, 13]),
        (b"newmtl m\nKd 0.8\n", [204, 204, 204]),
        (b"newmtl m\nKd 0 0 0\nnewmtl m\nKd 0.8 0.1 0.05", [204, 26, 13]),
        ("newmtl m\nKd 0.8 0.1 0.05\n".encode("utf-16"), [204, 26, 13]),
        (b"NEWMTL m\nKd 0.8 0.1 0.05\0\0\0", [204, 26, 13]),
    ],
)
def test_ways_to_write_a_color(library, color):
    text = b"mtllib m.mtl\n" + SQUARE + b"usemtl m\nf 1 2 3 4"
    assert load_mesh(text, "obj", {"m.mtl": library}).face_colors.tolist() == [color] * 2


@pytest.mark.parametrize(
    "line",
    [
        b"map_Kd t x.png",
        b"map_kd t x.png",
        b"MAP_KD t x.png",
        b"map_Kd -s 1 1 1 t x.png",
        b"map_Kd -s\t1\t1\t1\tt x.png",
        b"map_Kd -o 0.5 -clamp on -mm 0 1 -blendu off t x.png",
        b'map_Kd "t x.png"',
        b"map_Kd t x.png # bark",
        b"map_Kd ..\\maps\\t x.png",
    ],
)
def test_ways_to_name_a_texture(line):
    pixels = np.full((2, 2, 3), (10, 20, 30), np.uint8)
    text = b"mtllib m\n" + SQUARE + b"vt 0 0\nvt 1 0\nvt 1 1\nusemtl a\nf 1/1 2/2 3/3\n"
    files = {"m": b"newmtl a\nKd 0 1 0\n" + line + b"\n", "t x.png": png(pixels)}
    assert load_mesh(text, "obj", files).face_colors.tolist() == [[10, 20, 30]]


@pytest.mark.parametrize(
    ("name", "on_disk"),
    [
        (b"Maps\\WOOD.PNG", "maps/Wood.png"),
        ("дерево.png".encode("cp1251"), "Дерево.PNG"),
        ("дерево.png".encode("cp866"), "дерево.png"),
        ("café.png".encode("latin-1"), "café.png"),
        ("café.png".encode(), "cafe\u0301.png"),
        ("木.png".encode("cp932"), "木.png"),
        (b"caf\xe9.png", b"caf\xe9.png"),
    ],
)
def test_names_as_another_system_wrote_them(tmp_path, name, on_disk):
    path = tmp_path / (on_disk if isinstance(on_disk, str) else os.fsdecode(on_disk))
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(png(np.full((2, 2), 10000, np.uint16)))  # 10000 of 65535 is 39 of 255
    (tmp_path / "Chair.MTL").write_bytes(b"newmtl a\nmap_Kd " + name)
    corners = b"vt 0 0\nvt 1 0\nvt 1 1\nusemtl a\nf 1/1 2/2 3/3\n"
    (tmp_path / "chair.obj").write_bytes(b"mtllib chair.mtl\n" + SQUARE + corners)
    assert load_mesh(tmp_path / "chair.obj").face_colors.tolist() == [[39, 39, 39]]


@pytest.mark.parametrize(
    ("lines", "warning"),
    [
        (b"mtllib a.mtl b c.mtl none", "without its material library a.mtl (and 3 more)"),
        (b"mtllib m.mtl", "its libraries lack the material gold (and 1 more)"),
        (b"mtllib \xe4\x1b[31m.mtl", "without its material library \\udce4\\x1b[31m.mtl"),
    ],
)
def test_what_is_missing_is_said_once(caplog, lines, warning):
    text = lines + b"\n" + SQUARE + b"".join(b"usemtl %s\nf 1 2 3\n" % m for m in MATERIALS * 50)
    mesh = read_obj(text, {"m.mtl": RED}.get, appearance=True, name="chair.obj")
    assert [record.getMessage() for record in caplog.records] == [f"chair.obj: {warning}"]
    assert mesh.face_colors is None or mesh.face_colors[:4].tolist() == (
        [[200] * 3, [255, 0, 0], [200] * 3, [200] * 3]
    )


MATERIALS = [b"gold", b"red", b"None", b"silver"]


def test_names_may_hold_the_sign_of_comments():
    library = b"newmtl wood #1\nKd 1 0 0\nnewmtl wood #2\nKd 0 0 1\n"
    text = b"mtllib m\n" + SQUARE + b"usemtl wood #1\nf 1 2 3\nusemtl wood #2\nf 1 3 4\n"
    colors = read_obj(text, {"m": library}.get).face_colors
    assert colors.tolist() == [[255, 0, 0], [0, 0, 255]]


def test_colors_of_some_vertices_and_in_bytes():
    text = b"v 0 0 0 51 102 255\nv 1 0 0\nv 1 1 0 51 102 255\nv 0 1 0 51 102 255\nf 1 3 4\nf 2 2 2"
    assert read_obj(text, nothing).face_colors.tolist() == [[51, 102, 255], [200, 200, 200]]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (SQUARE, "only vertices; export faces instead"),
        (SQUARE + b"l 1 2\nl 2 3", "only lines"),
        (SQUARE + b"p 1", "only points"),
        (SQUARE + b"f 1 2\nf 3 4", "only faces of less than three corners"),
        (SQUARE + b"cstype bezier\nsurf 0 1 0 1 1 2 3 4\nend", "only free-form surfaces"),
        (b"\x4c\x01\x07\0.text\0\0\0.data", "damaged, or no OBJ file"),
        (b"# only a comment", "damaged, or no OBJ file"),
    ],
)
def test_why_there_are_no_faces(text, reason):
    with pytest.raises(MeshError, match=reason):
        read_obj(text, nothing)


def test_errors_count_continued_lines():
    with pytest.raises(MeshError, match="line 7:"):
        read_obj(SQUARE + b"f 1 \\\n 2 3\nf 1 2 three", nothing)
