"""The programs in `examples/`, run as a reader would run them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from triform.datasets.testdataset import write_testdataset
from triform.geometry.io.load import load_mesh
from triform.geometry.voxels.surface import is_watertight

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with parametric furniture in `meshes`."""
    folder = tmp_path_factory.mktemp("examples")
    write_testdataset(folder / "meshes", 24)
    return folder


def run(folder: Path, name: str, *words: str) -> str:
    """What an example prints."""
    answer = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *words],
        cwd=folder,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def test_voxelize_a_mesh(folder: Path) -> None:
    mesh = sorted((folder / "meshes").glob("*.obj"))[0]
    said = run(folder, "voxelize_a_mesh.py", str(mesh), "grid.glb")
    inside, total = int(said.split()[0]), int(said.split()[2])
    assert total == 64**3 and 0.005 < inside / total < 0.9
    assert is_watertight(load_mesh(folder / "grid.glb"))


def test_train_on_a_folder_and_generate_from_a_prompt(folder: Path) -> None:
    said = run(folder, "train_on_a_folder.py", "meshes", "--config", "tiny", "--epochs", "1")
    run_dir, _, iou = said.strip().partition(": held-out IoU ")
    assert 0 <= float(iou) <= 1
    words = ("a round table with four legs", "table.glb", run_dir)
    said = run(folder, "generate_from_a_prompt.py", *words)
    assert said.startswith("table.glb ") and "closed: True" in said
    assert is_watertight(load_mesh(folder / "table.glb"))


def test_every_example_is_short_and_run() -> None:
    """A program that is added here is tested here."""
    known = {"voxelize_a_mesh.py", "train_on_a_folder.py", "generate_from_a_prompt.py"}
    assert {path.name for path in EXAMPLES.iterdir() if path.suffix == ".py"} == known
    for name in known:
        code = (EXAMPLES / name).read_text().split('"""')[2].split("\n")
        assert sum(bool(line.strip()) for line in code) <= 12
