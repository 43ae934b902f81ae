import pytest

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


def test_mixed_colors_of_faces_are_left_out():
    text = b"OFF\n3 2 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2 255 0 0\n3 0 2 1\n"
    assert read_off(text).face_colors is None


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
