"""Captions from CSV files."""

import logging
from pathlib import Path

import pytest

from triform.base.errors import UserError
from triform.datasets.library.layout import Captions, LibraryObject, captions_bytes, parse_captions
from triform.datasets.library.preparation.captioning import merge_captions, read_caption_files

OBJECTS = [
    LibraryObject(object_id="set-chair-tall", source="set/chair/tall"),
    LibraryObject(object_id="set-table-tall", source="set/table/tall"),
    LibraryObject(object_id="sweethome3d-S-bed1", source="sweethome3d/S#bed1"),
]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("set-chair-tall", ["set-chair-tall"]),
        ("set/chair/tall", ["set-chair-tall"]),
        ("set/chair/tall.obj", ["set-chair-tall"]),
        ("somewhere/else/S#bed1.obj", ["sweethome3d-S-bed1"]),
        ("tall.obj", ["set-chair-tall", "set-table-tall"]),
        ("nothing", []),
    ],
)
def test_a_row_finds_its_object(name: str, found: list[str]) -> None:
    captions: Captions = {}
    assert merge_captions(captions, OBJECTS, {"x.csv": [(name, "tall", "en")]}) == len(found)
    assert list(captions) == found


def test_a_caption_is_added_once() -> None:
    captions: Captions = {"set-chair-tall": [("a chair", "en")]}
    rows = [("set-chair-tall", "a chair", "en"), ("set-chair-tall", "a chair", "fr")]
    assert merge_captions(captions, OBJECTS, {"x.csv": rows, "y.csv": rows}) == 1
    assert captions["set-chair-tall"] == [("a chair", "en"), ("a chair", "fr")]


def test_rows_for_nobody_are_told(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("triform").propagate = True
    merge_captions({}, OBJECTS, {"x.csv": [("a", "b", "en"), ("set-chair-tall", "c", "en")]})
    assert "1 of 2 rows name no object of the library; the first: 'a'" in caplog.text


def test_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "more.csv"
    path.write_text('\ufefffile,caption,language\r\na.obj, "red, tall" ,\nb,стул,ru\n,x,\nc,,\n')
    assert read_caption_files([str(path)])[str(path)] == [
        ("a.obj", "red, tall", "en"),
        ("b", "стул", "ru"),
    ]


@pytest.mark.parametrize("data", [b"name,text\n", b"", b"\xff\xfe\x00", b"object_id\nx\n"])
def test_what_is_no_caption_file(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"bad\.csv"):
        read_caption_files([str(path)])
    with pytest.raises(UserError, match=r"gone\.csv: cannot be read"):
        read_caption_files([str(tmp_path / "gone.csv")])


def test_table_without_and_with_languages() -> None:
    english: Captions = {"b": [("x", "en")], "a": [('say "hi"\nthere', "en"), ("y", "en")]}
    data = captions_bytes(english)
    assert data.startswith(b"object_id,caption\na,")
    rows = parse_captions(data, "x")
    # A record is one line of the file, whatever stood in the caption.
    assert data.count(b"\n") == 4
    assert rows == [("a", 'say "hi" there', "en"), ("a", "y", "en"), ("b", "x", "en")]
    both = captions_bytes({"a": [("x", "en"), ("стул", "ru")]})
    assert both.decode() == "object_id,caption,language\na,x,en\na,стул,ru\n"
