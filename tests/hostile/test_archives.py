"""Archives that arrived as downloads, unpacked by `triform data get`."""

import dataclasses
import io
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from bounded_memory import refused_cheaply
from hostile_place import BOX, contents

from triform.base.archive import unpack
from triform.datasets import load

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
    position = content.index(b"PK\1\2") + 20
    content[position : position + 8] = b"\xff\xff\xff\x7f" * 2
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


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without size and checksum, which would refuse any other archive before it is opened."""
    known = dataclasses.replace(load.DATASETS["modelnet10"], size=None, sha256=None)
    monkeypatch.setitem(load.DATASETS, "modelnet10", known)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", ARCHIVES)
def test_hostile_archive_is_named_and_leaves_nothing(
    refused: Callable[..., str], place: Path, name: str
) -> None:
    (place / "datasets").mkdir()
    (place / "datasets" / "ModelNet10.zip").write_bytes(ARCHIVES[name])
    refused("data", "get", "modelnet10", status=1, names="ModelNet10.zip", may_change=MAY_CHANGE)
    assert not Path("/tmp/triform-escaped.obj").exists()


@pytest.mark.usefixtures("unchecked")
def test_archive_of_something_else_is_named(refused: Callable[..., str], place: Path) -> None:
    (place / "datasets").mkdir()
    with zipfile.ZipFile(place / "datasets" / "ModelNet10.zip", "w") as archive:
        archive.writestr("readme.txt", "not here")
    unpacked = ("", "/readme.txt", "/dataset.json")
    allowed = (*MAY_CHANGE, *(f"datasets/modelnet10{end}" for end in unpacked))
    refused("data", "get", "modelnet10", status=1, names="modelnet10", may_change=allowed)


@pytest.mark.usefixtures("unchecked")
def test_folder_of_the_user_is_not_replaced(refused: Callable[..., str], place: Path) -> None:
    (place / "datasets" / "modelnet10").mkdir(parents=True)
    (place / "datasets" / "modelnet10" / "mine.obj").write_text(BOX)
    (place / "datasets" / "ModelNet10.zip").write_bytes(zip_of())
    refused("data", "get", "modelnet10", status=1, names="modelnet10", may_change=MAY_CHANGE[1:])


def test_download_path_that_is_a_file_is_named(refused: Callable[..., str]) -> None:
    refused(
        "data", "get", "testdataset:2", "--download_path", "kept.obj", status=1, names="kept.obj"
    )


def many_zip(count: int, name: Callable[[int], str]) -> bytes:
    """A zip archive of many empty members."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(count):
            archive.writestr(zipfile.ZipInfo(name(number)), b"")
    return file.getvalue()


def many_tar(count: int, kind: bytes = tarfile.DIRTYPE, mode: str = "w:gz") -> bytes:
    """A tar archive of many members without content."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:  # type: ignore[call-overload]
        for number in range(count):
            member = tarfile.TarInfo(f"d{number}")
            member.type = kind
            archive.addfile(member)
    return file.getvalue()


def long_header(length: int, kind: bytes) -> bytes:
    """A tar archive whose first header promises an extension of so many bytes, all of them 0."""
    member = tarfile.TarInfo("header")
    member.type, member.size = kind, length
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    pieces = [packer.compress(member.tobuf(tarfile.GNU_FORMAT))]
    pieces += [packer.compress(bytes(2**20)) for _ in range(length >> 20)]
    return b"".join([*pieces, packer.flush()])


def mark_inside_the_end() -> bytes:
    """A zip whose last record has the mark of a last record among its numbers."""
    content = bytearray(many_zip(300, lambda n: f"{n}"))
    content[-22 + 16 : -22 + 20] = b"PK\5\6"
    return bytes(content)


DEEP = "/".join("abcdefghij" * 4)
COUNTS: dict[str, tuple[Callable[[], bytes], str]] = {
    "members": (lambda: many_zip(500, lambda n: f"{n}.obj"), "more than 200 files and folders"),
    "folders in a zip": (lambda: many_zip(500, lambda n: f"{n}/"), "more than 200 files"),
    "folders of files": (lambda: many_zip(90, lambda n: f"a{n}/b/c/d.obj"), "100 folders"),
    "folders in a tar": (lambda: many_tar(300), "more than 200 files and folders"),
    "files in a tar": (lambda: many_tar(150, tarfile.REGTYPE), "more than 100 files"),
    "deep": (lambda: many_zip(1, lambda n: DEEP), "leads out of its folder or cannot be a name"),
    "deep folder": (lambda: many_zip(1, lambda n: f"{DEEP}/"), "cannot be a name"),
    "mark inside the end": (mark_inside_the_end, "more than 200 files"),
    "long name in a tar": (lambda: long_header(2**28, tarfile.GNUTYPE_LONGNAME), "a header of"),
    "long extension": (lambda: long_header(2**28, tarfile.XHDTYPE), "a header of"),
    "packed oddly": (lambda: lzma_zip(), "packs"),
}


def lzma_zip() -> bytes:
    """A zip archive packed by LZMA, whose dictionary may be four gigabytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.obj", b"x" * 100)
    return file.getvalue()


@pytest.mark.parametrize("name", COUNTS)
def test_archives_by_count_and_by_header(place: Path, name: str) -> None:
    """Nothing is unpacked of what would be a million folders, or one header of a gigabyte."""
    make, output = COUNTS[name]
    (place / "a.bin").write_bytes(make())
    before = contents(place)
    refusal = refused_cheaply(lambda: unpack(place / "a.bin", place / "out", max_files=100))
    assert output in refusal and "a.bin" in refusal
    assert contents(place) == before


def test_archives_within_the_limits_are_unpacked(place: Path) -> None:
    (place / "a.zip").write_bytes(many_zip(100, lambda n: f"a/{n % 10}/{n}.obj"))
    (place / "a.tgz").write_bytes(many_tar(100, tarfile.REGTYPE))
    for name in ("a.zip", "a.tgz"):
        folder = unpack(place / name, place / f"{name}.out", max_files=100)
        assert sum(path.is_file() for path in folder.rglob("*")) == 100


def test_zip_of_a_directory_that_is_too_long(place: Path) -> None:
    """The table of contents is not read where it is larger than any that we know."""
    content = bytearray(many_zip(1, lambda n: "a"))
    content[-22 + 12 : -22 + 16] = (2**31).to_bytes(4, "little")
    (place / "a.zip").write_bytes(content)
    output = refused_cheaply(lambda: unpack(place / "a.zip", place / "out"))
    assert "table of contents" in output or "damaged" in output
