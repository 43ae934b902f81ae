import io

import numpy as np
import pytest
from PIL import Image

from triform.geometry.io.mtl import read_materials
from triform.geometry.io.obj import read_obj
from triform.geometry.mesh import MeshError

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


def test_lines_points_and_stubs_are_skipped():
    extra = b"# note\no thing\ng group\ns off\nl 1 2\np 1\nf 1 2\nf\nvn 0 0 1\nunknown x\n\n"
    assert len(read_obj(SQUARE + extra + b"f 1 2 3", nothing).faces) == 1


def test_errors_name_the_line():
    with pytest.raises(MeshError, match="line 5"):
        read_obj(SQUARE + b"f 1 2 three", nothing)


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
