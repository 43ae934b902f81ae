"""Atomic files: the old one or the new one."""

import errno
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from triform.base.errors import UserError
from triform.base.files import atomic_copy, atomic_write


def test_a_file_appears_whole_with_the_usual_rights(tmp_path: Path) -> None:
    """Missing folders are made, nothing else is left."""
    path = tmp_path / "new" / "folder" / "file.bin"
    with atomic_write(path) as file:
        file.write(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole" and list(path.parent.iterdir()) == [path]
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask


def test_text_keeps_its_line_ends(tmp_path: Path) -> None:
    """The same bytes on every system."""
    with atomic_write(tmp_path / "text", "w") as file:
        file.write("дом\n")
    assert (tmp_path / "text").read_bytes() == "дом\n".encode()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_the_old_file_and_nothing_else(
    error: type[BaseException], tmp_path: Path
) -> None:
    """Also Ctrl-C."""
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(error), atomic_write(path) as file:
        file.write(b"half")
        raise error
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_other_modes_are_refused(tmp_path: Path) -> None:
    """Appending cannot be atomic."""
    with pytest.raises(ValueError, match="'wb' or 'w'"), atomic_write(tmp_path / "x", "ab"):
        pass


def test_a_killed_writer_leaves_a_whole_file(tmp_path: Path) -> None:
    """SIGKILL while a file is written over and over: whoever reads sees one version of it."""
    path = tmp_path / "file"
    program = (
        "import sys; from triform.base.files import atomic_write\n"
        "for number in range(10**6):\n"
        "    with atomic_write(sys.argv[1]) as file:\n"
        "        for part in range(64): file.write(b'%08d' % number * 512)\n"
    )
    for moment in (0.05, 0.11, 0.2):
        path.unlink(missing_ok=True)
        writer = subprocess.Popen([sys.executable, "-c", program, str(path)])
        while not path.exists():
            time.sleep(0.01)
        time.sleep(moment)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        content = path.read_bytes()
        assert content == content[:8] * (64 * 512)


def test_content_and_name_are_synced_in_that_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut may come at any moment: whole content, then its name, then the folder."""
    path, events = tmp_path / "file", []
    sync, replace = os.fsync, os.replace

    def seen_sync(handle: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(handle).st_mode)
        events.append("folder" if is_folder else os.fstat(handle).st_size)
        sync(handle)

    def seen_replace(source: str, target: Path) -> None:
        events.append(Path(target).name)
        replace(source, target)

    monkeypatch.setattr(os, "fsync", seen_sync)
    monkeypatch.setattr(os, "replace", seen_replace)
    with atomic_write(path) as file:
        file.write(b"12345")
    assert events == [5, "file", "folder"]


@pytest.mark.parametrize("has_links", [True, False])
def test_copies_are_whole_and_replace_what_is_there(
    has_links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With links both names share the data until one is replaced; without, all is copied."""
    if not has_links:

        def refuse(*_: Any) -> None:
            raise OSError(errno.EPERM, "no links here")

        monkeypatch.setattr(os, "link", refuse)
    source, target = tmp_path / "a", tmp_path / "new" / "b"
    source.write_bytes(b"first")
    for _ in range(2):
        atomic_copy(source, target, link=True)
    assert target.read_bytes() == b"first" and target.samefile(source) == has_links
    with atomic_write(source) as file:
        file.write(b"second")
    assert target.read_bytes() == b"first"
    atomic_copy(source, target)
    assert target.read_bytes() == b"second" and not target.samefile(source)
    assert [path.name for path in target.parent.iterdir()] == ["b"]
    (tmp_path / "link").symlink_to(source)
    with pytest.raises(UserError, match="a link"):
        atomic_copy(source, tmp_path / "link", link=True)
