"""The cache folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from triform.base.paths import cache_dir


def test_the_variable_wins_and_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asking where the cache is does not make it."""
    monkeypatch.setenv("TRIFORM_CACHE", str(tmp_path / "cache"))
    assert cache_dir() == tmp_path / "cache" and not cache_dir().exists()
    monkeypatch.setenv("TRIFORM_CACHE", "~/cache")
    assert cache_dir() == Path.home() / "cache"


def test_otherwise_the_user_s_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """The platform's place, under the project's name."""
    monkeypatch.delenv("TRIFORM_CACHE", raising=False)
    assert cache_dir().is_absolute() and "triform" in cache_dir().parts


PROGRAM = """
import logging, os, subprocess, sys
from triform.base.paths import cache_dir
folder = cache_dir()
(folder / "x").write_text("x")
assert cache_dir() == folder
child = "from triform.base.paths import cache_dir; print(cache_dir())"
seen = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True).stdout
assert seen.strip() == str(folder) and (folder / "x").exists()
print(folder)
"""


@pytest.mark.parametrize("kind", ["file", "proc", "cache"])
def test_a_home_that_cannot_be_written_is_replaced_for_the_run(tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").write_text("no folder")
    places = {
        "file": {"HOME": str(tmp_path / "file"), "XDG_CACHE_HOME": ""},
        "proc": {"HOME": "/proc/none", "XDG_CACHE_HOME": "/proc/none"},
        "cache": {"TRIFORM_CACHE": str(tmp_path / "file" / "cache")},
    }[kind]
    environment = {name: value for name, value in os.environ.items() if name != "TRIFORM_CACHE"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment | places,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.count("cannot be written") == 1
    assert not Path(done.stdout.strip()).exists()
