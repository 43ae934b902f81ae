"""Damaged meshes of every format: each is read or refused in one line, none crashes or hangs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from mutants import companions, mutate, originals

# Of CAD files fewer: each takes a process of its own.
COPIES = {"assembly.step": 10, "sheet.iges": 5}


def read_all(folder: Path, timeout: float) -> dict[str, dict[str, object]]:
    """Use every file of a folder in another process; what it says about each."""
    program = Path(__file__).with_name("mutants.py")
    answer = subprocess.run(
        [sys.executable, str(program), str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    done = [json.loads(line) for line in answer.stdout.splitlines()]
    names = sorted(path.name for path in folder.iterdir() if path.name not in companions())
    assert answer.returncode == 0, f"{names[len(done)]}: {answer.stderr[-2000:]}"
    assert [row["file"] for row in done] == names
    return {row["file"]: row for row in done}


def write(folder: Path, copies: int, first_seed: int = 0) -> None:
    for name, data in companions().items():
        (folder / name).write_bytes(data)
    for name, data in originals().items():
        stem, suffix = name.split(".")
        for seed in range(first_seed, first_seed + min(copies, COPIES.get(name, copies))):
            (folder / f"{stem}_{seed:04}.{suffix}").write_bytes(mutate(data, seed))


def test_two_hundred_damaged_files(tmp_path: Path) -> None:
    write(tmp_path, copies=15)
    for name, data in originals().items():
        (tmp_path / name).write_bytes(data)
    rows = read_all(tmp_path, timeout=600)
    for name in originals():
        assert str(rows.pop(name)["answer"]).endswith(" faces"), name
    assert len(rows) >= 200
    refused = [row for row in rows.values() if str(row["answer"]).startswith("refused")]
    # The damage is real, and what can still be read is read.
    assert 0.5 * len(rows) < len(refused) < 0.95 * len(rows)
    assert not [name for name, row in rows.items() if float(str(row["seconds"])) > 5]


@pytest.mark.slow
def test_thousands_of_damaged_files(tmp_path: Path) -> None:
    write(tmp_path, copies=400, first_seed=1000)
    rows = read_all(tmp_path, timeout=3000)
    assert not [name for name, row in rows.items() if float(str(row["seconds"])) > 5]
