"""Further benchmarks run; what they measure is for a quiet machine."""

import re
from pathlib import Path

import numpy as np
import pytest
from benchmark_process import BENCHMARKS, run
from PIL import Image

from triform.datasets.testdataset import write_testdataset


def test_retrieval_step(tmp_path: Path) -> None:
    small = ("--rounds", "1", "--batch_size", "2", "--size", "tiny", "--points", "64")
    output = run(tmp_path, "retrieval_step.py", *small, "--num_group", "4", "--threads", "1")
    ratios = re.findall(r"ratio[^\d]*([\d.]+)", output)
    assert ratios and float(ratios[0]) > 0


def test_retrieval_baseline(tmp_path: Path) -> None:
    """Each mesh has an image of its own beside it."""
    write_testdataset(tmp_path / "meshes", 30)
    random = np.random.default_rng(0)
    for mesh in (tmp_path / "meshes").rglob("*.obj"):
        image = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(image).save(mesh.with_suffix(".png"))
    output = run(tmp_path, "retrieval_baseline.py", "--directory", "meshes")
    assert output.startswith("30 objects") and output.count("views with") == 2


def test_voxelize(tmp_path: Path) -> None:
    write_testdataset(tmp_path / "meshes", 2)
    output = run(
        tmp_path, "voxelize.py", "--directory", "meshes", "--resolution", "8", "--count", "2"
    )
    assert "8^3, 2 models" in output and "IoU with the exact solid" in output


@pytest.mark.slow
def test_agents_in_cartpole(tmp_path: Path) -> None:
    output = run(tmp_path, "reinforce_cartpole.py", "--seeds", "1", "--steps", "2000")
    assert output.startswith("seed 0: mean of 100 training episodes 475 after")
    pytest.importorskip("stable_baselines3")
    small = ("--seeds", "1", "--steps", "2000", "--speed_steps", "600", "--rounds", "1")
    output = run(tmp_path, "dqn_cartpole.py", *small)
    assert "ratio" in output


def test_every_benchmark_is_run_by_a_test() -> None:
    tests = "".join(
        path.read_text(encoding="utf-8") for path in BENCHMARKS.parent.glob("tests/**/test_*.py")
    )
    programs = {path.stem for path in BENCHMARKS.glob("*.py")}
    named = {stem for stem in programs if re.search(rf"[\"/.]{stem}(\.py)?\"|{stem}\.py", tests)}
    assert programs and programs == named
