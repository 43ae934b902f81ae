import os

import pytest

from triform.base.errors import UserError
from triform.base.folder_listing import left_out, list_files
from triform.datasets.shape import mesh_shapes


@pytest.fixture
def folder(tmp_path):
    names = "b/2.PNG a/1.png a/3.wrl.gz a/x.gz old.blend b/old.BLEND c.psd unnamed README.md"
    names += " LICENSE captions.csv .hidden.blend .git/1.png __MACOSX/1.png tex.mtl"
    for name in names.split():
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    (tmp_path / "photos" / "loop").symlink_to(tmp_path / "photos")
    return tmp_path / "photos"


def test_files_by_suffix_and_what_is_left_out(folder, caplog):
    found = list_files(folder, (".png", ".wrl.gz"), companions=(".mtl",))
    assert [path.relative_to(folder).as_posix() for path in found] == [
        "a/1.png",
        "a/3.wrl.gz",
        "b/2.PNG",
    ]
    (record,) = caplog.records
    head, _, kinds = record.getMessage().partition("(")
    assert head == f"{folder}: left out 5 files of other kinds "
    kinds, _, links = kinds.partition(") and ")
    assert sorted(kinds.split(", ")) == ["1 .gz", "1 .psd", "1 no suffix", "2 .blend"]
    assert links == "1 linked folder (loop)"


def test_one_folder_without_those_inside(folder, caplog):
    assert list_files(folder, (".psd",), recursive=False) == [folder / "c.psd"]
    assert "3 files of other kinds" in caplog.text and "linked" not in caplog.text


def test_nothing_is_said_where_nothing_is_left_out(tmp_path, caplog):
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "readme.TXT").write_bytes(b"")
    assert list_files(tmp_path, (".png",)) == [tmp_path / "a.png"]
    assert not caplog.records


def test_where_nothing_is_found_the_error_says_it(tmp_path, caplog):
    (tmp_path / "a.blend").write_bytes(b"")
    assert list_files(tmp_path, (".obj",)) == [] and not caplog.records
    assert left_out(tmp_path, (".obj",)) == "; left out 1 file of other kinds (1 .blend)"
    with pytest.raises(UserError, match=r"no meshes in it; .*; left out 1 file of other kinds"):
        list(mesh_shapes(tmp_path))


def test_names_are_safe_to_print(tmp_path, caplog):
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "a.\x1b[31m").write_bytes(b"")
    os.symlink(tmp_path, tmp_path / "l\x1b[0m")
    list_files(tmp_path, (".png",))
    assert "\x1b" not in caplog.records[0].getMessage()
