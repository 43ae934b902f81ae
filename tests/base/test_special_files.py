"""Where something is that is no plain file: links, pipes, devices, sockets."""

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from triform.base.errors import UserError
from triform.base.files import atomic_write, open_append, write_private
from triform.base.logging import add_log_file

MINE = b"mine"


def write(path: Path) -> None:
    with atomic_write(path) as file:
        file.write(b"new")


def append(path: Path) -> None:
    with open_append(path, text=False) as file:
        file.write(b"new")


writers = pytest.mark.parametrize("write_to", [write, append, add_log_file])


@writers
@pytest.mark.parametrize("leads", ["file", "nowhere", "folder", "device"])
def test_links_are_neither_followed_nor_replaced(
    write_to: Callable[[Path], object], leads: str, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(MINE)
    (tmp_path / "folder").mkdir()
    targets = {"file": victim, "folder": tmp_path / "folder", "device": Path("/dev/null")}
    link = tmp_path / "output"
    link.symlink_to(targets.get(leads, tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"output: a link.*name a plain file"):
        write_to(link)
    assert link.is_symlink() and victim.read_bytes() == MINE
    assert sorted(os.listdir(tmp_path)) == ["folder", "output", "victim"]


@writers
def test_pipes_are_not_waited_for(write_to: Callable[[Path], object], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="a device, pipe or socket"):
        write_to(tmp_path / "pipe")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode) and len(os.listdir(tmp_path)) == 1


@writers
def test_sockets_stay(
    write_to: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as endpoint:
        endpoint.bind("socket")
        with pytest.raises(UserError, match="a device, pipe or socket"):
            write_to(Path("socket"))
    assert os.listdir() == ["socket"]


@writers
def test_devices_stay(write_to: Callable[[Path], object]) -> None:
    """Whoever may replace /dev/null breaks the machine."""
    before = os.lstat("/dev/null")
    with pytest.raises(UserError, match="/dev/null: a device"):
        write_to(Path("/dev/null"))
    after = os.lstat("/dev/null")
    assert stat.S_ISCHR(after.st_mode) and after.st_ino == before.st_ino


def test_a_link_laid_while_the_file_is_written(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(MINE)
    with (
        pytest.raises(UserError, match="a link"),
        atomic_write(tmp_path / "output") as file,
    ):
        file.write(b"new")
        (tmp_path / "output").symlink_to(tmp_path / "victim")
    assert (tmp_path / "victim").read_bytes() == MINE
    assert sorted(os.listdir(tmp_path)) == ["output", "victim"]


def test_the_temporary_file_is_private_and_new(tmp_path: Path) -> None:
    """Nobody can open it before it is complete, and its name differs each time."""
    names = set()
    for _ in range(3):
        with atomic_write(tmp_path / "output"):
            (part,) = (path for path in tmp_path.iterdir() if path.name != "output")
            names.add(part.name)
            assert stat.S_IMODE(part.stat().st_mode) == 0o600
    assert len(names) == 3


def test_the_umask_is_not_lifted_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread that makes a file at that very moment must not make an open one."""
    masks = []
    real = os.umask
    monkeypatch.setattr(os, "umask", lambda mask: (masks.append(mask), real(mask))[1])
    old = real(0o027)
    try:
        write(tmp_path / "output")
    finally:
        real(old)
    assert stat.S_IMODE((tmp_path / "output").stat().st_mode) == 0o640
    assert masks == [0o077, 0o027]


def test_private_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    first, second = write_private("x-", ".log", "\ud800text"), write_private("x-", ".log", "")
    assert first != second and first.read_text() == "\\ud800text"
    assert stat.S_IMODE(first.stat().st_mode) == 0o600


def test_appending_adds_to_what_is_there(tmp_path: Path) -> None:
    for word in ("one\n", "two\n"):
        with open_append(tmp_path / "log", text=True) as file:
            file.write(word)
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\n"
