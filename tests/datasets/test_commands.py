"""`triform data list | get | pick | clear`."""

import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from triform.base.errors import UsageError, UserError
from triform.datasets.commands import main


def test_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--download_path", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "testdataset" in text and "needs a login" in text
    assert main(["list", "--json", "--download_path", str(tmp_path)]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["name"] for row in rows} >= {"testdataset", "sweethome3d", "modelnet40", "chairs"}
    assert {"objects", "state", "licence", "about", "url", "path"} <= set(rows[0])


def test_get_and_clear(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    where = ["--download_path", str(tmp_path)]
    assert main(["get", "testdataset:2", "TESTDATASET:3", "--json", *where]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [Path(row["path"]).name for row in found] == ["testdataset_2", "testdataset_3"]
    (tmp_path / ".testdataset.lock").touch()  # as an operating system without unlinking leaves it
    capsys.readouterr()
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert main(["clear", *where]) == 1
    assert (tmp_path / "testdataset_2").exists()
    assert ".lock" not in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert main(["clear", *where]) == 0
    assert ".lock" not in capsys.readouterr().out
    assert os.listdir(tmp_path) == []
    assert main(["clear", "--yes", *where]) == 0


def test_sets_that_are_made_in_memory_have_no_path(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert main(["get", "Digits", "--json", "--download_path", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out) == [{"name": "Digits", "path": None}]
    assert caplog.messages == ["Digits: made in memory when it is used; there is nothing to get"]


def test_errors_are_the_callers_to_show(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="login"):
        main(["get", "shapenetcore", "--download_path", str(tmp_path)])
    for wrong, message in (
        (["fetch"], "unknown verb of data 'fetch'"),
        (["get"], "NAMES is needed"),
    ):
        with pytest.raises(UsageError, match=message):
            main(wrong)


def test_pick_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(UserError, match="no display"):
        main(["pick"])


def test_without_a_terminal_the_list_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([]) == 0
    assert "testdataset" in capsys.readouterr().out


def test_dialogue_on_a_terminal(tmp_path: Path) -> None:
    """A real terminal: a mistake, a data set by its name, clearing it with a question, the end."""
    terminal, side = pty.openpty()
    typed = "get nothing\ntestdataset:2\nlist --help\n'\nclear\ny\n\n"
    process = subprocess.Popen(
        [sys.executable, "-m", "triform", "data"],
        cwd=tmp_path,
        stdin=side,
        stdout=side,
        stderr=side,
    )
    os.close(side)
    os.write(terminal, typed.encode())
    screen = b""
    try:
        while part := os.read(terminal, 4096):
            screen += part
    except OSError:  # the other side was closed
        pass
    os.close(terminal)
    text = screen.decode().replace("\r\n", "\n")
    assert process.wait(timeout=60) == 0, text
    assert "needs a login" in text and text.count("list, get NAME, pick") >= 6
    assert "error: dataset: 'nothing' is neither a folder" in text
    assert "datasets/testdataset_2" in text and "usage: triform data list" in text
    assert "No closing quotation" in text and "removed: 1" in text
    assert os.listdir(tmp_path / "datasets") == []
