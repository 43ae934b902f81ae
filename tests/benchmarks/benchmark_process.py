"""Runs a benchmark as a user does."""

import os
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def run(folder: Path, name: str, *words: str) -> str:
    """What a benchmark prints."""
    answer = subprocess.run(
        [sys.executable, str(BENCHMARKS / name), *words],
        cwd=folder,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout
