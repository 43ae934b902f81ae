"""Archives of strangers: what they may hold, and what they may not."""

import io
import os
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from triform.base.archive import unpack
from triform.base.errors import UserError

FILES = {"ModelNet/chair/a.off": b"OFF", "ModelNet/README.txt": b"hello", "ModelNet/empty": b""}


def make_zip(path: Path, members: dict[str, bytes] | list[tuple[str, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items() if isinstance(members, dict) else members:
            archive.writestr(name, data)
    return path


def make_tar(
    path: Path, members: list[tarfile.TarInfo | tuple[str, bytes]], mode: str = "w:gz"
) -> Path:
    with tarfile.open(path, mode) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return path


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def refused(archive: Path, pattern: str, **limits: int) -> None:
    """The archive is refused in one line, and nothing is left of it, inside or outside."""
    before = sorted(archive.parent.rglob("*"))
    with pytest.raises(UserError, match=pattern) as error:
        unpack(archive, archive.parent / "out", **limits)
    assert "\n" not in str(error.value)
    assert str(archive) in str(error.value)
    assert sorted(archive.parent.rglob("*")) == before


@pytest.mark.parametrize("mode", ["zip", "w", "w:gz", "w:bz2", "w:xz"])
def test_unpacks(tmp_path: Path, mode: str) -> None:
    packed = tmp_path / "packed.bin"  # the content says what it is, not the name
    make_zip(packed, FILES) if mode == "zip" else make_tar(packed, list(FILES.items()), mode)
    folder = unpack(packed, tmp_path / "deep" / "out")
    found = {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }
    assert found == FILES
    assert os.listdir(tmp_path / "deep") == ["out"]


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "a/../../evil",
        "/etc/evil",
        "..\\evil",
        "C:\\evil",
        "a/..",
        "\\\\server\\share",
        "a\nb",
        "x" * 300,
        "d/" * 600 + "x",
    ],
)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_paths_that_lead_out(tmp_path: Path, name: str, kind: str) -> None:
    packed = tmp_path / "a.bin"
    make_zip(packed, {"ok": b"1", name: b"2"}) if kind == "zip" else make_tar(
        packed, [("ok", b"1"), (name, b"2")]
    )
    refused(packed, "path that leads out")


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_in_tar(tmp_path: Path, kind: bytes) -> None:
    refused(
        make_tar(tmp_path / "a.tgz", [("ok", b"1"), special("x", kind, "/etc/passwd")]),
        "link or a device",
    )


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices_in_zip(tmp_path: Path, mode: int) -> None:
    info = zipfile.ZipInfo("link")
    info.external_attr = (mode | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    refused(tmp_path / "a.zip", "link or a device")


def test_link_then_file_through_it(tmp_path: Path) -> None:
    members = [special("d", tarfile.SYMTYPE, ".."), ("d/evil", b"1")]
    refused(make_tar(tmp_path / "a.tar", members, "w"), "link or a device")


def test_bomb_by_ratio(tmp_path: Path) -> None:
    packed = make_zip(tmp_path / "a.zip", {f"{k}.obj": bytes(2**24) for k in range(6)})
    assert packed.stat().st_size < 2**17
    refused(packed, "unpacks to more than")


def test_total_and_count(tmp_path: Path) -> None:
    packed = make_zip(tmp_path / "a.zip", {f"{k}": os.urandom(1000) for k in range(20)})
    refused(packed, "unpacks to more than 19,999 bytes", max_bytes=19_999)
    refused(packed, "more than 19 files", max_files=19)
    assert len(os.listdir(unpack(packed, tmp_path / "out", max_bytes=20_000, max_files=20))) == 20


def test_size_in_the_index_may_lie(tmp_path: Path) -> None:
    packed = make_zip(tmp_path / "a.zip", {"a.obj": bytes(2**20)})
    data = packed.read_bytes().replace(struct.pack("<I", 2**20), struct.pack("<I", 10))
    packed.write_bytes(data)
    refused(packed, "damaged|more than", max_bytes=1000)


def test_encrypted(tmp_path: Path) -> None:
    packed = make_zip(tmp_path / "a.zip", {"a": b"secret"})
    data = bytearray(packed.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + offset] |= 1
    packed.write_bytes(data)
    refused(packed, "is encrypted")


@pytest.mark.parametrize(
    "make", [lambda p: make_zip(p, FILES), lambda p: make_tar(p, list(FILES.items()))]
)
def test_truncated_at_every_tenth(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    packed = make(tmp_path / "a.bin")
    whole = packed.read_bytes()
    for share in range(1, 10):
        packed.write_bytes(whole[: len(whole) * share // 10])
        refused(packed, "not a zip or tar archive, or a damaged one")


def test_damaged_content(tmp_path: Path) -> None:
    packed = make_zip(tmp_path / "a.zip", {"a.obj": os.urandom(5000)})
    data = bytearray(packed.read_bytes())
    data[2500] ^= 255
    packed.write_bytes(data)
    refused(packed, "damaged")


@pytest.mark.parametrize(
    "names", [("a.obj", "a.obj"), ("a.obj", "A.OBJ"), ("d/a", "d//a"), ("./a", "a")]
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_files_of_one_name(tmp_path: Path, names: tuple[str, str]) -> None:
    refused(make_zip(tmp_path / "a.zip", [(name, b"1") for name in names]), "two files named")


def test_file_that_is_also_a_folder(tmp_path: Path) -> None:
    refused(make_zip(tmp_path / "a.zip", {"a": b"1", "a/b": b"2"}), "cannot be unpacked")


def test_nested_archives_stay_packed(tmp_path: Path) -> None:
    inner = make_zip(tmp_path / "inner.zip", {"../evil": b"1"}).read_bytes()
    folder = unpack(make_zip(tmp_path / "a.zip", {"inner.zip": inner}), tmp_path / "out")
    assert (folder / "inner.zip").read_bytes() == inner


@pytest.mark.parametrize("content", [b"", b"not an archive at all" * 99, b"\x80\x04pickle"])
def test_not_an_archive(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    refused(tmp_path / "a.zip", "not a zip or tar archive")


def test_missing_archive_and_existing_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be unpacked"):
        unpack(tmp_path / "none.zip", tmp_path / "out")
    packed = make_zip(tmp_path / "a.zip", FILES)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("keep")
    with pytest.raises(UserError, match="is there already"):
        unpack(packed, tmp_path / "out")
    assert os.listdir(tmp_path / "out") == ["mine"]
