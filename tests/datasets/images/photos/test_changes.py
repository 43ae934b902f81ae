"""New, changed, touched, moved and removed files; digests."""

import hashlib
import os

import pytest

from triform.base.errors import UserError
from triform.datasets.images.photos.changes import KnownPhoto, file_digest, find_changes
from triform.datasets.images.photos.scan import PhotoFile, Scan, scan_photos


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def indexed(tmp_path):
    """Four files of one size and one of another, and what an index knows of them."""
    contents = {f"{number}.png": bytes([number]) * 10 for number in range(4)}
    contents["long.png"] = b"long content"
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
        os.utime(tmp_path / name, ns=(10**18, 10**18))
    known = {
        str(tmp_path / name): KnownPhoto(len(data), 10**18, sha(data))
        for name, data in contents.items()
    }
    return tmp_path, known


def compare(folder, known):
    read = []

    def digest(file):
        read.append(os.path.basename(file.path))
        return file_digest(file)

    changes = find_changes(scan_photos([str(folder)]), known, digest)
    return changes, read


def names(files):
    return [os.path.basename(getattr(file, "path", file)) for file in files]


def test_nothing_is_read_where_nothing_has_changed(indexed):
    changes, read = compare(*indexed)
    assert changes.unchanged == 5 and not changes.has_any and read == []


def test_all_kinds_of_change_at_once(indexed):
    folder, known = indexed
    (folder / "0.png").rename(folder / "moved.png")
    (folder / "1.png").unlink()
    (folder / "2.png").write_bytes(b"two, another size")
    os.utime(folder / "3.png")
    (folder / "new.png").write_bytes(b"new")
    (folder / "as_long.png").write_bytes(b"0123456789")
    changes, read = compare(folder, known)
    assert changes.unchanged == 1
    assert names(changes.new) == ["2.png", "as_long.png", "new.png"]
    assert names(changes.changed) == ["2.png"]
    assert names(changes.touched) == ["3.png"]
    assert names(changes.moved) == ["0.png"]
    assert names(changes.moved.values()) == ["moved.png"]
    assert names(changes.removed) == ["1.png"]
    # What has the size of a file that is gone, and what has another time.
    assert sorted(read) == ["3.png", "as_long.png", "moved.png"]


def test_same_size_and_another_content(indexed):
    folder, known = indexed
    (folder / "0.png").write_bytes(b"x" * 10)
    changes, _ = compare(folder, known)
    assert names(changes.new) == ["0.png"] and names(changes.changed) == ["0.png"]


def test_one_of_two_copies_is_moved(indexed):
    folder, known = indexed
    (folder / "0.png").rename(folder / "a.png")
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes())
    changes, _ = compare(folder, known)
    assert names(changes.moved.values()) == ["a.png"] and names(changes.new) == ["b.png"]


def test_files_elsewhere_and_in_closed_folders_stay(indexed):
    folder, known = indexed
    known["/elsewhere/a.png"] = KnownPhoto(1, 1, "")
    known[str(folder / "closed" / "a.png")] = KnownPhoto(1, 1, "")
    scan = scan_photos([str(folder)])
    scan.closed.append(str(folder / "closed"))
    assert not find_changes(scan, known).removed


def test_a_file_that_vanishes_before_it_is_read(indexed):
    folder, known = indexed
    os.utime(folder / "3.png")
    scan = scan_photos([str(folder)])
    (folder / "3.png").unlink()
    changes = find_changes(scan, known)
    assert changes.vanished == 1 and names(changes.removed) == ["3.png"] and not changes.new


def test_digests(tmp_path):
    path = tmp_path / "a.mp4"
    data = bytes(range(256)) * 100
    path.write_bytes(data)
    assert file_digest(PhotoFile(str(path), len(data), 0, "video")) == sha(data)
    assert file_digest(PhotoFile(str(path), len(data), 0, "image")) == sha(data)
    with path.open("wb") as stream:
        stream.truncate(2**25)
    large = PhotoFile(str(path), 2**25, 0, "video")
    before = file_digest(large)
    with path.open("r+b") as stream:
        stream.seek(2**25 - 1)
        stream.write(b"x")
    assert file_digest(large) != before
    with pytest.raises(UserError, match="cannot be read"):
        file_digest(PhotoFile(str(tmp_path / "missing"), 1, 1, "image"))


def test_empty():
    assert not find_changes(Scan(), {}).has_any
