"""Benchmarks of captions, few-shot learning and image generators run, small, for no figures."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from triform import cli

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def run(folder: Path, name: str, *words: str) -> str:
    """What a benchmark prints."""
    answer = subprocess.run(
        [sys.executable, str(BENCHMARKS / name), *words],
        cwd=folder, env=os.environ, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("caption_beam.py", "--pictures 4 --beam_size 3 --words 40 --width 16 --repeats 1"),
        ("caption_features.py", "--pictures 10 --repeats 1"),
        ("diffusion_step.py", "--dataset digits --repeats 1 --steps 1"),
        ("maml_step.py", "--preset tiny --repeats 1"),
    ],
)
def test_it_prints_a_ratio(name, words, tmp_path):
    said = run(tmp_path, name, *words.split(), "--threads", "1")
    ratios = re.findall(r"([\d.]+) times", said)
    assert ratios and all(float(ratio) > 0 for ratio in ratios)
    if name == "caption_beam.py":
        assert "same captions: 4 of 4" in said


def test_compare_generators(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = []
    for system in ("vae", "dcgan", "style_gan", "diffusion"):
        assert cli.main([system, "train", "--config", "tiny", "--runs_dir", system]) == 0
        (found,) = tmp_path.glob(f"{system}/*/run_*")
        flags += [f"--{system}", str(found)]
    said = run(tmp_path, "compare_generators.py", *flags, "--num_samples", "200")
    assert said.count("\n| ") == 5 and "floor" in said
