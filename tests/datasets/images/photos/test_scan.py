"""What is listed below folders, and what is left out and counted."""

import os
import sys

import pytest

from triform.base.errors import UserError
from triform.datasets.images.photos import scan as scan_module
from triform.datasets.images.photos.scan import is_below, scan_photos


def make(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * (len(name) + 1))


def listed(folder, **options):
    scan = scan_photos([str(folder)], **options)
    return [os.path.relpath(file.path, folder) for file in scan.files], scan


def test_photos_raw_and_videos_by_suffix_sorted(tmp_path):
    make(tmp_path, "b/2.JPG", "a.png", "b/1.nef", "b/c/d/3.Mp4", "text.txt", "no_suffix", "4.heic")
    found, scan = listed(tmp_path)
    assert found == ["4.heic", "a.png", "b/1.nef", "b/2.JPG", "b/c/d/3.Mp4"]
    assert [file.kind for file in scan.files] == ["image", "image", "raw", "image", "video"]
    status = os.stat(tmp_path / "a.png")
    assert (scan.files[1].size, scan.files[1].modified) == (6, status.st_mtime_ns)
    assert scan.roots == (str(tmp_path),)


def test_folders_of_programs_and_hidden_ones_are_left_out(tmp_path):
    make(tmp_path, "a.png", "@eaDir/a.png", ".git/a.png", "x/node_modules/b/c.png", ".hidden.jpg")
    make(tmp_path, "x/#recycle/a.png", "x/.thumbnails/a.png", "x/b.png", ".DS_Store")
    found, scan = listed(tmp_path)
    assert found == ["a.png", "x/b.png"] and scan.excluded == 6


def test_patterns_of_names_and_paths(tmp_path):
    make(tmp_path, "a.gif", "b.png", "2019/raw/c.png", "2019/d.png", "2020/raw/e.png", "tmp/f.png")
    patterns = ("*.gif", "2019/raw", "tmp/")
    found, scan = listed(tmp_path, exclude=patterns)
    assert found == ["2019/d.png", "2020/raw/e.png", "b.png"] and scan.excluded == 3


def test_raw_beside_its_jpeg_is_a_copy(tmp_path):
    make(tmp_path, "1.NEF", "1.jpg", "2.nef", "3.cr2", "3.heic", "4.cr2", "4.png")
    found, scan = listed(tmp_path)
    assert found == ["1.jpg", "2.nef", "3.heic", "4.cr2", "4.png"] and scan.raw_copies == 2


def test_packages_that_are_missing_are_counted(tmp_path, monkeypatch):
    make(tmp_path, "1.nef", "2.mp4", "3.heic", "4.png", "5.mov")
    monkeypatch.setattr(scan_module.importlib.util, "find_spec", lambda name: None)
    found, scan = listed(tmp_path)
    assert found == ["4.png"] and scan.packages == {"raw": 1, "video": 2, "heic": 1}


def test_links_are_followed_on_request_each_folder_once(tmp_path):
    photos, other = tmp_path / "photos", tmp_path / "other"
    make(photos, "a/1.png")
    make(other, "2.png", "deep/3.png")
    links = {"0_loop": photos, "a/up": photos, "b_other": other, "c_again": other}
    for name, target in links.items():
        (photos / name).symlink_to(target)
    (photos / "file.png").symlink_to(other / "2.png")
    (photos / "gone.png").symlink_to(tmp_path / "nothing.png")
    (photos / "circle.png").symlink_to(photos / "circle.png")
    found, scan = listed(photos)
    assert found == ["a/1.png"] and scan.links == 6
    found, scan = listed(photos, follow_links=True)
    # What is there without a link has its own name; what is linked twice is listed once.
    assert found == ["a/1.png", "b_other/2.png", "b_other/deep/3.png", "file.png"]
    assert scan.links == 0


def test_the_same_folder_twice_or_one_within_the_other(tmp_path):
    make(tmp_path, "a/1.png", "2.png")
    scan = scan_photos([str(tmp_path / "a"), str(tmp_path), str(tmp_path / "a" / "..")])
    assert len(scan.files) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="names of bytes")
def test_any_name(tmp_path):
    names = [b"caf\xe9.png", b"new\nline.png", b"\x1b[2J.png", "\u202egpj.png".encode(), b"-rf.png"]
    for name in names:
        with open(os.path.join(os.fsencode(tmp_path), name), "wb"):
            pass
    scan = scan_photos([str(tmp_path)])
    found = {os.fsencode(os.path.basename(file.path)) for file in scan.files}
    assert found == set(names)


def test_what_is_no_regular_file_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    make(tmp_path, "folder.png/1.png")
    assert listed(tmp_path)[0] == ["folder.png/1.png"]


def test_folders_that_cannot_be_listed_are_remembered(tmp_path, monkeypatch):
    make(tmp_path, "closed/1.png", "open/2.png")
    real = os.scandir

    def scandir(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found, scan = listed(tmp_path)
    assert found == ["open/2.png"] and scan.closed == [str(tmp_path / "closed")]
    assert scan.covers(str(tmp_path / "open" / "gone.png"))
    assert not scan.covers(str(tmp_path / "closed" / "1.png"))
    assert not scan.covers(str(tmp_path) + "2/other.png")
    with pytest.raises(UserError, match="closed: cannot be listed"):
        scan_photos([str(tmp_path / "closed")])


def test_wrong_folders_are_one_line(tmp_path):
    make(tmp_path, "a.png")
    with pytest.raises(UserError, match=r"missing: not there, expected a folder of photos$"):
        scan_photos([str(tmp_path / "missing")])
    with pytest.raises(UserError, match=r"a\.png: a file, expected a folder of photos$"):
        scan_photos([str(tmp_path / "a.png")])


def test_is_below():
    assert is_below("/a/b", "/a") and is_below("/a", "/a") and is_below("/a", "/")
    assert not is_below("/ab", "/a") and not is_below("/a", "/a/b")
