"""The benchmarks of the agents run; what they measure is for a quiet machine and a person."""

import re
from pathlib import Path

import pytest
from benchmark_process import run


def test_reinforce(tmp_path: Path) -> None:
    output = run(tmp_path, "reinforce_cartpole.py", "--seeds", "1", "--steps", "300")
    assert "after never steps" in output and "solved within 300 steps: 0 of 1 seeds" in output
    best, final = re.search(r"best ([\d.]+), final ([\d.]+)", output).groups()
    assert 8 <= float(best) <= 500 and 8 <= float(final) <= 500


@pytest.mark.slow
def test_dqn(tmp_path: Path) -> None:
    pytest.importorskip("stable_baselines3")
    words = ("--seeds", "1", "--steps", "1000", "--speed_steps", "1300", "--rounds", "1")
    output = run(tmp_path, "dqn_cartpole.py", *words)
    assert "ours never, stable-baselines3 never" in output
    ratios = [float(number) for number in re.findall(r"ratio ([\d.]+)", output)]
    assert len(ratios) == 2 and ratios[0] == 1 and ratios[1] > 0.5
