import pytest

from triform.geometry.mesh import MeshError
from triform.geometry.off import read_off


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
