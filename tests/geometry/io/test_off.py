from pathlib import Path

import pytest

from triform.geometry.io.load import load_mesh
from triform.geometry.io.off import read_off
from triform.geometry.mesh import MeshError


def test_polygons_become_fans():
    text = b"OFF\n5 2 0\n0 0 0\n2 0 0\n2 2 0\n1 3 0\n0 2 0\n5 0 1 2 3 4\n2 0 1\n"
    mesh = read_off(text)
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3], [0, 3, 4]] and mesh.area == 5


@pytest.mark.parametrize("header", [b"OFF\n", b"OFF ", b"OFF", b" \nOFF # note\n", b"STOFF\n"])
def test_headers(header):
    assert len(read_off(header + b"3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2").faces) == 1


def test_counts_are_not_believed():
    with pytest.raises(MeshError, match="promises 3 vertices and 9 faces but has 4 lines"):
        read_off(b"OFF 3 9 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2")


def test_faces_without_a_color_among_colored_ones_are_grey(caplog):
    text = b"OFF\n3 2 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2 255 0 0\n3 0 2 1\n"
    assert read_off(text).face_colors.tolist() == [[255, 0, 0], [200, 200, 200]]
    assert read_off(text.replace(b"255 0 0", b"7"), "a").face_colors is None
    assert "a: left out: 1 colour of faces by their number in a map" in caplog.text


def test_normals_stand_between_a_vertex_and_its_color():
    """Three blue corners with the normal (1, 0, 0), which is no colour."""
    row = b"%d %d 0 1 0 0 0 0 255\n"
    corners = b"".join(row % corner for corner in ((0, 0), (1, 0), (0, 1)))
    for header, color in ((b"CNOFF\n", [0, 0, 255]), (b"COFF\n", [1, 0, 0])):
        assert read_off(header + b"3 1 0\n" + corners + b"3 0 1 2").face_colors.tolist() == [color]


def test_fractions_of_a_color_are_rounded():
    """0.5 is 127.5, an even 128; 0.999 is 254.7; what is too much or too little is cut."""
    face = b"3 0 1 2 %s\n"
    text = b"OFF\n3 2 0\n0 0 0\n1 0 0\n0 1 0\n" + face % b"0.5 0.999 0" + face % b"1.5 -1 0.002"
    assert read_off(text).face_colors.tolist() == [[128, 255, 0], [255, 0, 1]]


CASES = Path(__file__).parent / "cases"
BOX = """0 0 0
1 0 0
1 2 0
0 2 0
0 0 3
1 0 3
1 2 3
0 2 3
4 0 3 2 1
4 4 5 6 7
4 0 1 5 4
4 1 2 6 5
4 2 3 7 6
4 3 0 4 7
"""


@pytest.mark.parametrize(
    "header",
    [
        "OFF\n8 6 0\n",
        "OFF8 6 0\n",
        "OFF 8 6\n",
        "OFF\n8 6\n",
        "OFF\n8\n6\n0\n",
        "8 6 0\n",
        "# made by hand\n\n8 6 12 # counts\n",
        "# made by hand\n# in two lines\nOFF\n# counts\n8 6 12\n",
        "off\n8 6 0\n",
        "nOFF\n3\n8 6 0\n",
        "nOFF 3\n8 6 0\n",
        "\ufeffOFF\n8 6 0\n",
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_boxes(header, end):
    mesh = load_mesh((header + BOX).replace("\n", end).encode(), "off")
    assert (len(mesh.faces), mesh.volume, mesh.area) == (12, 6, 22)


def vertices(pattern):
    """The box with more words behind each vertex."""
    lines = BOX.splitlines(keepends=True)
    return "".join(line.replace("\n", f" {pattern}\n") for line in lines[:8]) + "".join(lines[8:])


@pytest.mark.parametrize(
    ("kind", "pattern", "color"),
    [
        ("C", "9 8 7 255", [9, 8, 7]),
        ("C", "9 8 7", [9, 8, 7]),
        ("C", "1e-1 0 1 1", [26, 0, 255]),
        ("N", "0 0 1", None),
        ("NC", "0 0.6 0.8 0.2 0.4 0.6 1", [51, 102, 153]),
        ("CN", "0 0.6 0.8 0.2 0.4 0.6 1", [51, 102, 153]),
        ("NC", "9 8 7 255 0 0.6 0.8", [9, 8, 7]),
        ("NC", "9 8 7 0 0.6 0.8", [9, 8, 7]),
        ("ST", "0.5 0.5", None),
        ("STC", "9 8 7 255 0.5 0.5", [9, 8, 7]),
        ("STCN", "0 0 1 9 8 7 255 0.5 0.5", [9, 8, 7]),
        ("NCST", "9 8 7 255 0 0 1 0.5 0.5", [9, 8, 7]),
        ("4", "1", None),
        ("C4", "1 9 8 7 255", [9, 8, 7]),
    ],
)
def test_kinds(kind, pattern, color):
    mesh = read_off(f"{kind}OFF\n8 6 0\n{vertices(pattern)}".encode())
    assert (len(mesh.faces), mesh.volume, mesh.area) == (12, 6, 22)
    assert mesh.face_colors is None if color is None else mesh.face_colors.tolist() == [color] * 12


def test_homogeneous_coordinates_are_divided():
    assert read_off(f"4OFF\n8 6 0\n{vertices('2')}".encode()).volume == 6 / 2**3


def test_colors_before_normals_as_meshlab_writes_them():
    mesh = load_mesh(CASES / "off_ncoff_meshlab.off")
    assert (len(mesh.faces), mesh.volume, mesh.area) == (12, 6, 22)
    # Corners of the first triangle: red, yellow, blue.
    assert mesh.face_colors[0].tolist() == [170, 85, 85]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("OFF BINARY\n8 6 0\n", "binary OFF is not read"),
        ("nOFF\n4\n8 6 0\n", "its points have 4 dimensions"),
        ("4OFF\n3 1 0\n0 0 0 0\n1 0 0 1\n0 1 0 1\n3 0 1 2", "division by zero"),
        ("OFF\n3 0 0\n0 0 0\n1 0 0\n0 1 0\n", "no faces in it, only 3 vertices$"),
        ("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n2 0 1", "1 faces of less than three corners"),
        ("OFFSET 3 4", "does not begin with OFF"),
        ("solid x", "does not begin with OFF"),
        ("OFF\n", "numbers of vertices and faces are missing"),
        ("OFF\n8 x 0\n", "numbers of vertices and faces are missing"),
        ("OFF\n9 6 0\n" + BOX, "a face promises 3 corners|but has 14 lines"),
    ],
)
def test_reasons(text, reason):
    with pytest.raises(MeshError, match=reason):
        read_off(text.encode())


def test_lines_behind_the_promised_faces_are_counted(caplog):
    mesh = read_off(f"OFF\n8 4 0\n{BOX}# end\n".encode(), "box.off")
    assert len(mesh.faces) == 8
    assert [record.getMessage() for record in caplog.records] == [
        "box.off: left out: 2 lines behind the 4 faces that it promises"
    ]
