"""Small files of strangers: regular ones, whole, and no larger than said."""

import os
import socket
import tracemalloc
from pathlib import Path

import pytest

from triform.base.errors import UserError
from triform.base.files import read_regular


def test_all_bytes_up_to_the_limit(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(b"0123456789")
    assert read_regular(file, 10) == b"0123456789"
    link = tmp_path / "link.json"
    link.symlink_to(file)
    assert read_regular(str(link), 10) == b"0123456789"
    with pytest.raises(UserError, match=r"a\.json: larger than 9 bytes"):
        read_regular(file, 9)


def test_a_file_that_says_0_bytes_is_counted() -> None:
    if not Path("/proc/cpuinfo").is_file():
        pytest.skip("no /proc on this system")
    with pytest.raises(UserError, match="larger than 3 bytes"):
        read_regular("/proc/cpuinfo", 3)


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    pipe = socket.socket(socket.AF_UNIX)
    pipe.bind(str(tmp_path / "s"))
    for path in (fifo, tmp_path / "s", "/dev/zero", "/dev/null"):
        with pytest.raises(UserError, match="expected a regular file"):
            read_regular(path, 100)
    pipe.close()
    with pytest.raises(UserError, match="a folder, expected a file"):
        read_regular(tmp_path, 100)


def test_a_fifo_in_the_place_of_the_file_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, fifo = tmp_path / "a", tmp_path / "fifo"
    file.write_bytes(b"x")
    os.mkfifo(fifo)
    real = os.open
    monkeypatch.setattr(os, "open", lambda path, flags: real(fifo, flags))
    with pytest.raises(UserError, match="expected a regular file"):
        read_regular(file, 100)


def test_names_that_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    for path in (tmp_path / "none", tmp_path / "a" / "b"):
        with pytest.raises(UserError, match="not there"):
            read_regular(path, 100)
    with pytest.raises(UserError, match="not a file name"):
        read_regular("a\0b", 100)


def test_memory_is_that_of_the_file_not_of_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "small"
    path.write_bytes(b"x" * 100)
    tracemalloc.start()
    assert read_regular(path, 2**30) == b"x" * 100
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20
