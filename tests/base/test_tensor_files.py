"""Files that call themselves checkpoints, looked at before torch or safetensors."""

import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from triform.base import tensor_files
from triform.base.errors import UserError
from triform.base.tensor_files import (
    check_archive,
    check_header,
    check_tensors,
    read_torch_file,
)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.pth"
    torch.save({"a": torch.zeros(300), "b": [torch.ones(2)]}, path)
    return path


def test_what_torch_writes_is_read(good: Path) -> None:
    check_archive(good)
    assert read_torch_file(good, "checkpoint")["a"].shape == (300,)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressed_members_are_named(good: Path, tmp_path: Path, method: int) -> None:
    path = tmp_path / "b.pth"
    with zipfile.ZipFile(good) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            last = name.endswith("data/1")
            new.writestr(name, old.read(name), method if last else zipfile.ZIP_STORED)
    with pytest.raises(UserError, match=r"b\.pth: 'good/data/1' in it is compressed"):
        check_archive(path)


def test_a_prefix_would_let_two_readers_see_two_lists(good: Path) -> None:
    """zipfile goes by the end of the file, torch by the numbers in it."""
    content = good.read_bytes()
    good.write_bytes(content[:4] + bytes(100) + content)
    with pytest.raises(UserError, match="not a file that torch wrote"):
        check_archive(good)
    good.write_bytes(content + b"comment")
    with pytest.raises(UserError, match="not a file that torch wrote"):
        check_archive(good)


def test_members_that_share_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("a", "b"):
            archive.writestr(name, bytes(1000))
    content = bytearray(path.read_bytes())
    start = struct.unpack("<L", content[-6:-2])[0]
    entry = content[start : start + 47]  # of member a, whose bytes b is now said to have as well
    for _ in range(3):
        content[start:start] = entry
    length = len(content) - 22 - start
    content[-22:] = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 5, 5, length, start, 0)
    path.write_bytes(content)
    assert zipfile.ZipFile(path).namelist().count("a") == 4
    with pytest.raises(UserError, match="parts of it overlap"):
        check_archive(path)


def test_a_long_directory(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensor_files, "MAX_HEADER", 100)
    with pytest.raises(UserError, match="not a file that torch wrote"):
        check_archive(good)


def test_headers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", 10) + b"{}        ")
    check_header(path)
    path.write_bytes(struct.pack("<Q", 11) + b"{}        ")
    with pytest.raises(UserError, match="says that it has 11 bytes"):
        check_header(path)
    path.write_bytes(struct.pack("<Q", 10) + b"{}        ")
    monkeypatch.setattr(tensor_files, "MAX_HEADER", 9)
    with pytest.raises(UserError, match="says that it has 10 bytes"):
        check_header(path)


def test_tied_weights_are_fine(tmp_path: Path) -> None:
    path, weight = tmp_path / "tied.pth", torch.zeros(600_000)
    torch.save({"a": weight, "b": weight}, path)
    assert read_torch_file(path, "checkpoint")["b"].shape == (600_000,)


@pytest.mark.parametrize(
    "content",
    [
        torch.zeros(1).expand(10**6, 10),
        {"a": [torch.zeros(3, 1).expand(3, 10**6)]},
        {"a": (torch.zeros(1).expand(10**5),) * 11},
        torch.zeros(10**6).as_strided((10**6, 3), (1, 0)),
    ],
)
def test_tensors_that_show_numbers_many_times(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(UserError, match=r"a\.pth: its tensors ask for more memory"):
        read_torch_file(tmp_path / "a.pth", "checkpoint")


@pytest.mark.parametrize("tensor", [torch.zeros(2, 2).to_sparse(), torch.zeros(2, device="meta")])
def test_tensors_that_are_not_dense(tmp_path: Path, tensor: torch.Tensor) -> None:
    torch.save([tensor], tmp_path / "a.pth")
    with pytest.raises(UserError, match="not a plain dense one"):
        read_torch_file(tmp_path / "a.pth", "checkpoint")


def test_lists_within_themselves_end(tmp_path: Path) -> None:
    content: list[Any] = [torch.zeros(1)]
    for _ in range(40):
        content = [content, content]
    content.append(content)
    (tmp_path / "a").write_bytes(b"x")
    check_tensors(content, tmp_path / "a")
