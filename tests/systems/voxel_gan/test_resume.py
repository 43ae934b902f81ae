"""The main job of the project, killed and resumed, as a user would."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch

KILLS = 20
CHECKPOINT = "runs/voxel_gan/run_*/checkpoints/last.pth"
FLAGS = ["--epochs", "90", "--save_every_minutes", "0.003", "--evaluate_every", "30"]
FLAGS += ["--sample_every", "0"]


def command(folder: Path, *flags: str) -> list[str]:
    where = ["--runs_dir", str(folder / "runs"), "--download_path", str(folder / "datasets")]
    return [sys.executable, "-m", "triform", "voxel_gan", "train", *where, *flags]


def final_state(folder: Path) -> dict[str, object]:
    (path,) = folder.glob("runs/voxel_gan/run_*/checkpoints/last.pth")
    return torch.load(path, weights_only=True)


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["tiny", "tiny_residual"])
def test_killed_at_twenty_random_moments_the_weights_are_the_same(
    tmp_path: Path, preset: str
) -> None:
    """kill -9 again and again while it steps and saves; then bit for bit the uninterrupted run."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
    subprocess.run(
        command(whole, "--config", preset, *FLAGS), check=True, capture_output=True, cwd=whole
    )
    moments = random.Random(0)
    kills = 0
    while True:
        saved = list(killed.glob("runs/voxel_gan/run_*/checkpoints/last.pth"))
        flags = ["--config", preset, *FLAGS]
        if saved:
            flags = ["--resume_from", str(saved[0].parents[1])]
        before = newest(saved)
        process = subprocess.Popen(
            command(killed, *flags),
            cwd=killed,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        if kills == KILLS:
            assert process.wait(timeout=300) == 0
            break
        # a new checkpoint says that it trains; the moment after it is random
        while process.poll() is None and newest(killed.glob(CHECKPOINT)) == before:
            time.sleep(0.005)
        time.sleep(moments.uniform(0, 0.6))
        assert process.poll() is None, "the run ended before its last kill: give it more epochs"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
    ends = [final_state(folder) for folder in (whole, killed)]
    for key in ("networks", "ema", "optimizers", "step", "epoch", "best", "random"):
        assert equal(ends[0][key], ends[1][key]), key


def newest(paths: Iterable[Path]) -> int:
    """When the newest of some files was written; 0 where there is none."""
    return max((path.stat().st_mtime_ns for path in paths), default=0)


def equal(a: object, b: object) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))  # type: ignore[arg-type]
    return a == b
