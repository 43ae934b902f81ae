"""Archives that arrived as downloads, unpacked by `triform data get`."""

import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hostile_place import BOX

Files = list[tuple[str, bytes]]
GOOD: Files = [("ModelNet10/chair/train/chair_0001.off", b"OFF\n")]


def zip_of(*files: tuple[str, bytes], mode: int = 0, packed: bool = False) -> bytes:
    """A zip archive; `mode` is the kind of file that each member claims to be."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", 8 if packed else 0) as archive:
        for name, content in (*GOOD, *files):
            info = zipfile.ZipInfo(name)
            info.compress_type = 8 if packed else 0
            info.external_attr = (mode | 0o777) << 16 if mode else 0
            archive.writestr(info, content)
    return file.getvalue()


def tar_of(kind: bytes, name: str, target: str = "") -> bytes:
    """A tar archive with one member of a kind."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, target
        archive.addfile(member)
    return file.getvalue()


def encrypted() -> bytes:
    """A zip archive whose flags say that it is encrypted."""
    content = bytearray(zip_of())
    content[6] |= 1
    content[content.index(b"PK\1\2") + 8] |= 1
    return bytes(content)


def lying_size() -> bytes:
    """A zip archive that promises 2 GB in a member of four bytes."""
    content = bytearray(zip_of())
    place = content.index(b"PK\1\2") + 20
    content[place : place + 8] = b"\xff\xff\xff\x7f" * 2
    return bytes(content)


ARCHIVES: dict[str, bytes] = {
    "leads out": zip_of(("../../escaped.obj", b"x")),
    "leads out, deep": zip_of(("ModelNet10/a/../../../escaped.obj", b"x")),
    "leads out, backslashes": zip_of(("..\\..\\escaped.obj", b"x")),
    "absolute": zip_of(("/tmp/triform-escaped.obj", b"x")),
    "drive": zip_of(("C:/escaped.obj", b"x")),
    "link": zip_of(("ModelNet10/link", b"../../.."), mode=stat.S_IFLNK),
    "device": zip_of(("ModelNet10/null", b""), mode=stat.S_IFCHR),
    "same name twice": zip_of(("ModelNet10/CHAIR/train/chair_0001.off", b"other")),
    "control characters": zip_of(("ModelNet10/a\x1b[31m\n.off", b"x")),
    "name too long": zip_of(("ModelNet10/" + "x" * 5000, b"x")),
    "bomb": zip_of(("ModelNet10/zeros", b"\0" * 2**27), packed=True),
    "encrypted": encrypted(),
    "lying size": lying_size(),
    "cut": zip_of(("ModelNet10/more", b"x" * 500))[:-120],
    "damaged": zip_of(("ModelNet10/more", b"x" * 500)).replace(b"x" * 9, b"y" * 9, 1),
    "a web page": b"<!DOCTYPE html><title>404</title>" * 30,
    "empty": b"",
    "tar leads out": tar_of(tarfile.REGTYPE, "../../escaped.obj"),
    "tar absolute": tar_of(tarfile.REGTYPE, "/tmp/triform-escaped.obj"),
    "tar link": tar_of(tarfile.SYMTYPE, "ModelNet10/link", "/etc"),
    "tar hard link": tar_of(tarfile.LNKTYPE, "ModelNet10/link", "../../kept.obj"),
    "tar device": tar_of(tarfile.CHRTYPE, "ModelNet10/null"),
    "tar pipe": tar_of(tarfile.FIFOTYPE, "ModelNet10/pipe"),
    "tar cut": tar_of(tarfile.REGTYPE, "ModelNet10/a")[:-12],
}
# The archive itself goes, so that the next call downloads another; the lock file may stay.
MAY_CHANGE = ("datasets/ModelNet10.zip", "datasets/.modelnet10.lock")


@pytest.mark.parametrize("name", ARCHIVES)
def test_hostile_archive_is_named_and_leaves_nothing(
    refused: Callable[..., str], place: Path, name: str
) -> None:
    (place / "datasets").mkdir()
    (place / "datasets" / "ModelNet10.zip").write_bytes(ARCHIVES[name])
    refused("data", "get", "modelnet10", status=1, names="ModelNet10.zip", may_change=MAY_CHANGE)
    assert not Path("/tmp/triform-escaped.obj").exists()


def test_archive_of_something_else_is_named(refused: Callable[..., str], place: Path) -> None:
    (place / "datasets").mkdir()
    with zipfile.ZipFile(place / "datasets" / "ModelNet10.zip", "w") as archive:
        archive.writestr("readme.txt", "not here")
    unpacked = ("", "/readme.txt", "/dataset.json")
    allowed = (*MAY_CHANGE, *(f"datasets/modelnet10{end}" for end in unpacked))
    refused("data", "get", "modelnet10", status=1, names="modelnet10", may_change=allowed)


def test_folder_of_the_user_is_not_replaced(refused: Callable[..., str], place: Path) -> None:
    (place / "datasets" / "modelnet10").mkdir(parents=True)
    (place / "datasets" / "modelnet10" / "mine.obj").write_text(BOX)
    (place / "datasets" / "ModelNet10.zip").write_bytes(zip_of())
    refused("data", "get", "modelnet10", status=1, names="modelnet10", may_change=MAY_CHANGE[1:])


def test_download_path_that_is_a_file_is_named(refused: Callable[..., str]) -> None:
    refused(
        "data", "get", "testdataset:2", "--download_path", "kept.obj", status=1, names="kept.obj"
    )
