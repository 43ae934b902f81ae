"""The benchmark of the search runs; its times are for a quiet machine and a person."""

import re
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "search.py"


def test_search_benchmark():
    words = ["--count", "3000", "--dim", "32", "--queries", "30", "--threads", "1"]
    answer = subprocess.run(
        [sys.executable, PROGRAM, *words], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    assert "recall@10 against float64 brute force: 1.000000" in answer.stdout
    assert float(re.search(r"ratio of plain numpy to ours: ([\d.]+)", answer.stdout)[1]) > 0
