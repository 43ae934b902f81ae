"""Benchmarks of the web application run; what they measure is for a quiet machine."""

import re
import shutil
from pathlib import Path

import pytest
from benchmark_process import run


def test_web_users(tmp_path: Path) -> None:
    small = ("--users", "2", "--seconds", "1", "--gallery", "testdataset:4")
    output = run(tmp_path, "web_users.py", *small)
    assert re.match(r"2 users, \d+ s, \d+ jobs, errors 0\n", output)
    assert re.search(r"shape: [1-9]\d* jobs, .*p95 \d", output)


@pytest.mark.slow
def test_web_bars(tmp_path: Path) -> None:
    pytest.importorskip("playwright")
    if not (shutil.which("chromium") or shutil.which("chromium-browser")):
        pytest.skip("no chromium here; scripts/get_chromium.sh installs it")
    output = run(tmp_path, "web_bars.py", "--rounds", "1", "--results", "7", "--pages", "find")
    assert "history page opens (Results: 7)" in output  # fewer than fill the page
    assert re.search(r"memory: [\d.]+ GB now", output)
    assert re.search(r"stop to the end of the job: median [\d.]+ s", output)
