import codecs

import pytest

from triform.geometry.io.load import load_mesh
from triform.geometry.io.text import (
    decode_name,
    file_name_spellings,
    join_continued_lines,
    match_key,
    normalize_text,
)
from triform.geometry.mesh import MeshError

TEXT = "v 0 0 0\n# Стул\nf 1 2 3\n"


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
        (b"", "utf-16-le"),
        (b"", "utf-16-be"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_encodings_and_line_ends_become_one(mark, encoding, end):
    assert normalize_text(mark + TEXT.replace("\n", end).encode(encoding)) == TEXT.encode()


def test_nuls_are_removed():
    assert normalize_text(b"v 0 0 0\0\0\nf 1 2 3\n" + bytes(512)) == b"v 0 0 0\nf 1 2 3\n"


def test_text_that_is_in_order_is_not_copied():
    text = TEXT.encode()
    assert normalize_text(text) is text and join_continued_lines(text) is text


def test_joined_lines_leave_the_numbers_of_the_others():
    text = b"v 1 \\\n2 \\  \n3\nf \\\n1 2 3\n"
    joined = join_continued_lines(text)
    assert [line.split() for line in joined.split(b"\n")] == [
        [b"v", b"1", b"2", b"3"],
        [],
        [],
        [b"f", b"1", b"2", b"3"],
        [],
        [],
    ]
    assert join_continued_lines(b"f 1 2 3 \\").split() == [b"f", b"1", b"2", b"3"]


def test_a_comment_does_not_go_on():
    """A comment often ends in a folder of Windows."""
    text = b"# from C:\\models\\\nv 1 2 3\nv 4 5 6 # C:\\x\\\nv 7 8 9\n"
    assert join_continued_lines(text) == text


def test_quotes_and_older_code_pages():
    assert decode_name(b' "my lib.mtl"  # wood') == "my lib.mtl"
    assert decode_name(b'5" pipe') == '5" pipe'
    assert decode_name("Дерево".encode()) == "Дерево"
    for code_page in ("cp1251", "cp866", "koi8-r"):
        spellings = list(file_name_spellings(decode_name("Дерево.png".encode(code_page))))
        assert "Дерево.png" in spellings
    assert "тент.png" in file_name_spellings(decode_name("тент.png # ткань".encode("cp1251")))
    assert "café.png" in file_name_spellings(decode_name("café.png".encode("latin-1")))
    assert "木.png" in file_name_spellings(decode_name("木.png".encode("cp932")))


def test_spellings_begin_with_the_literal_one():
    assert list(file_name_spellings("C:\\maps\\a #1.png")) == [
        "C:\\maps\\a #1.png",
        "a #1.png",
        "C:\\maps\\a",
        "a",
    ]


def test_letters_of_any_case_and_composition_match():
    assert match_key("CAFÉ.PNG") == match_key("cafe\u0301.png")
    assert match_key("a.png") != match_key("b.png")


@pytest.mark.parametrize("suffix", ["obj", "off", "wrl"])
def test_text_readers_accept_utf16(tmp_path, suffix):
    text = {
        "obj": "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
        "off": "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n",
        "wrl": "#VRML V2.0 utf8\nShape { geometry IndexedFaceSet { coord Coordinate { point ["
        "0 0 0, 1 0 0, 0 1 0] } coordIndex [0 1 2 -1] } }\n",
    }[suffix]
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(codecs.BOM_UTF16_LE + text.replace("\n", "\r\n").encode("utf-16-le"))
    mesh = load_mesh(path)
    assert mesh.faces.tolist() == [[0, 1, 2]] and mesh.area == 0.5


def test_noise_is_no_text():
    with pytest.raises(MeshError, match="no OBJ file"):
        load_mesh(bytes(range(256)) * 4, "obj")
