"""STL whose counts, ends, headers and spare bytes are not as in the textbook."""

import logging
from pathlib import Path

import numpy as np
import pytest
from box_files import FACES, VERTICES, compare, stl, stl_facets, stl_text

from triform.geometry.io import stl as stl_reader
from triform.geometry.io.load import load_mesh
from triform.geometry.mesh import MeshError

CASES = Path(__file__).parents[2] / "cases"
DEFECT = "endloop\nendfacet\n"


@pytest.mark.parametrize("name", ["stl_bin_tail.stl", "stl_ascii_endsolid_sep.stl"])
def test_cases_of_public_reports(name):
    compare(load_mesh(CASES / name))


@pytest.mark.parametrize(
    ("data", "warning"),
    [
        (stl(), ""),
        (stl(header=b"solid made by a program that wrote binary"), ""),
        (stl(header=b"solid x", tail=b"\0" * 92), "92 bytes behind the data"),
        (stl(tail=b"an advertisement"), "16 bytes behind the data"),
        (stl(tail=bytes(100)), "100 bytes behind the data"),
        (stl(tail=b"\xff" * 50), "50 bytes behind the data"),
        (stl(tail=bytes(range(50))), "50 bytes behind the data"),
        (stl(count=0), "mesh: its header promises 0 faces, it has 12; all are read"),
        (stl(count=10), "promises 10 faces, it has 12"),
        (stl(count=2**32 - 1), "promises 4294967295 faces, it has 12"),
        (stl(count=13), "promises 13 faces, it has 12"),
        (stl_text(), ""),
        (stl_text(end="end solid box"), ""),
        (stl_text(end="endsolid"), ""),
        (stl_text(end="END SOLID"), ""),
        (stl_text(end=""), "mesh: it does not end in endsolid; the file may be cut off"),
        (stl_text(upper=True), ""),
        (stl_text(line="\r\n"), ""),
        (stl_text(line="\r"), ""),
        (stl_text(line="\n\n  \t"), ""),
        (b"\xef\xbb\xbf" + stl_text(), ""),
        (stl_text().decode().encode("utf-16"), ""),
        (stl_text() + b"\0\0\0", ""),
        (b"# made by a program\n" + stl_text(), ""),
        (stl_text().replace(b"outer loop", b"color 1 0 0\nouter loop"), ""),
        (stl(header=b"solid facet normal"), ""),
        (b"\n\n" + stl_text(), ""),
        (stl_text(head="solid"), ""),
        (
            stl_text(
                head="solid vertex 1 2 3 endloop of a\nfacet normal 0 0 0", faces=FACES[:0]
            ).replace(b"facet normal 0 0 0\n", b"")
            + stl_text(),
            "",
        ),
        (stl_text(head="solid Körper".encode().decode("latin-1")), ""),
        (
            stl_text(head="solid a", end="endsolid a", faces=FACES[:6])
            + stl_text(head="solid b", end="endsolid b", faces=FACES[6:]),
            "",
        ),
        (stl_text().replace(b"facet normal 0 0 0", b"facet normal nan nan nan"), ""),
        (stl_text().replace(b" 3\n", b" 3.0E+00\n"), ""),
        (stl_text(line=" "), ""),
    ],
)
def test_boxes(data, warning, caplog):
    with caplog.at_level(logging.WARNING):
        compare(load_mesh(data, "stl"))
    assert len(caplog.records) == bool(warning)
    assert warning in caplog.text


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (stl()[:-70], "promises 12 faces, its 614 bytes hold 10"),
        (stl()[:-100], "promises 12 faces, its 584 bytes hold 10"),
        (stl(count=0, body=b""), "its header promises 0 faces"),
        (stl(body=bytes(600)), "all 12 are degenerate"),
        (b"binary?", "binary ones have at least 84 bytes, this one 7"),
        (b"solid nothing\nendsolid nothing\n", "no facet"),
        (stl_text()[:-60], "cut off: it begins 12 faces and ends 11"),
        (stl_text().replace(b"vertex 1 2 3", b"vertex 1 two 3", 1), "vertex '1 two 3' of face"),
        (stl_text(faces=FACES[:0]), "no facet"),
        (b" \n", "the file is empty"),
    ],
)
def test_the_true_reason(data, reason):
    with pytest.raises(MeshError, match=reason):
        load_mesh(data, "stl")


@pytest.mark.parametrize("size", [1, 200, 300, 1000, 10**6])
def test_blocks_of_any_size(size, monkeypatch):
    monkeypatch.setattr(stl_reader, "_BLOCK_SIZE", size)
    compare(load_mesh(stl_text(), "stl"))


def test_polygons_of_text():
    square = b"solid\nfacet normal 0 0 1\nouter loop\n"
    square += b"".join(b"vertex %d %d 0\n" % at for at in ((0, 0), (2, 0), (2, 3), (0, 3)))
    mesh = load_mesh(square + DEFECT.encode() + b"endsolid\n", "stl")
    assert (len(mesh.faces), mesh.area) == (2, 6)


def test_colors_of_viscam_and_magics():
    red, green, blue = (31, 0), (31, 5), (31, 10)

    def bits(*parts):
        return sum(value << shift for value, shift in parts)

    # VisCAM: the highest bit marks a colour, red is high; others are grey.
    attribute = np.full(12, 0x8000 | bits((31, 10)), "u2")
    attribute[0] = 0
    mesh = load_mesh(stl(attribute=attribute), "stl")
    assert mesh.face_colors[:2].tolist() == [[200] * 3, [255, 0, 0]]
    # Magics: the highest bit marks the colour of the header, red is low.
    attribute = np.full(12, 0x8000, "u2")
    attribute[:3] = bits(red), bits(green), bits(blue)
    header = b"made by COLOR=\x0a\x14\x1e\xff,MATERIAL="
    mesh = load_mesh(stl(header=header, attribute=attribute), "stl")
    assert mesh.face_colors[:4].tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255], [10, 20, 30]]
    assert load_mesh(stl(), "stl").face_colors is None


def test_a_box_that_was_cut_between_faces_is_no_wrong_count():
    whole = stl_facets(VERTICES, FACES)
    for kept in range(4, 12):
        with pytest.raises(MeshError, match="cut off"):
            load_mesh(stl(body=whole[: 50 * kept]), "stl")


def test_a_solid_whose_name_has_words_of_the_format():
    named = stl_text().replace(b"solid", b"solid facet of the outer loop", 1)
    compare(load_mesh(named, "stl"))
