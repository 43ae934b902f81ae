"""Every benchmark runs; what it measures is for a quiet machine and a person."""

import importlib.util
import re
from pathlib import Path

import pytest
from benchmark_process import run

from triform.datasets.testdataset import write_testdataset
from triform.engine.verbs import train
from triform.systems.voxel_gan import system


def test_epoch(tmp_path: Path) -> None:
    write_testdataset(tmp_path / "meshes", 6)
    small = ("--objects", "6", "--voxel_size", "16", "--batch_size", "2", "--hidden_channels", "8")
    output = run(tmp_path, "epoch.py", "--directory", "meshes", *small)
    assert "4 objects, 16^3, 2 batches of 2" in output and "trimesh finished 4" in output
    ratios = [float(number) for number in re.findall(r"ratio of .*: ([\d.]+)", output)]
    assert len(ratios) == 2 and ratios[1] >= ratios[0] > 0


def test_train_step(tmp_path: Path) -> None:
    small = ("--rounds", "1", "--voxel_size", "16", "--batch_size", "2", "--hidden_channels", "8")
    output = run(tmp_path, "train_step.py", *small)
    for part in ("VAE, 16^3", "VAE and discriminator, 16^3"):
        assert part in output
    rows = re.findall(r"^  (float32|bf16|ours)(.*?)  +(\d.*)$", output, flags=re.MULTILINE)
    assert len(rows) == 16
    for kind, rest, numbers in rows:
        cosine, *norms = (float(n) for n in numbers.replace(",", " ").split()[3:])
        close = 0.9 if "bf16" in kind + rest else 0.999
        assert cosine > close and all(close < norm < 2 - close for norm in norms)


def test_prompt_to_obj(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from triform.base.settings.config import parse
    from triform.systems.voxel_gan.config import Config

    monkeypatch.chdir(tmp_path)
    presets = Path(system.__file__).parent / "presets"
    settings = parse(Config, ["--config", "tiny", "--max_steps", "1"], presets)
    words = (
        "--checkpoint",
        train(system.System, settings)["run"],
        "--prompts",
        "2",
        "--commands",
        "1",
    )
    output = run(tmp_path, "prompt_to_obj.py", *words)
    assert output.startswith("voxel_gan, 2 prompts\n")
    medians = [float(number) for number in re.findall(r"median ([\d.]+) s", output)]
    assert len(medians) == 2 and medians[0] < medians[1]


def test_prompt_to_glb(tmp_path: Path) -> None:
    words = ("--system", "shape_flow", "--prompts", "1", "--commands", "0")
    output = run(tmp_path, "prompt_to_obj.py", *words, "--surface_resolution", "32")
    assert output.startswith("shape_flow, 1 prompts\n  warm process  median ")


def test_points(tmp_path: Path) -> None:
    small = ("--rounds", "1", "--candidates", "2000", "--points", "500")
    output = run(tmp_path, "points.py", *small)
    assert "2000 -> 500" in output and output.count("same points: yes") == 3
    spread = {
        (name, way): float(value)
        for name, table in re.findall(
            r"points on a (\w+)(.*?)(?=points on a|\Z)", output, re.DOTALL
        )
        for way, value in re.findall(r"^  (\S.*?)  +[\d.]+ +([\d.]+) ", table, re.MULTILINE)
    }
    assert len(spread) == 12
    for name in ("ball", "torus"):
        assert spread[name, "ours, farthest"] < 0.2 < spread[name, "ours, stratified"]


def test_prepare(tmp_path: Path) -> None:
    write_testdataset(tmp_path / "meshes", 2)
    small = ("--views", "2", "--image_size", "24", "--points", "64", "--voxel_size", "16")
    words = ("--directory", "meshes", "--count", "2", "--no_vtk", *small)
    output = run(tmp_path, "prepare.py", *words)
    assert "2 models, 2 views of 24 pixels, 64 points, 16^3 voxels" in output
    if importlib.util.find_spec("rtree"):  # trimesh casts no rays without it
        assert re.search(r"trimesh median .* ratio median \d.*, finished 2", output)
    else:
        assert "gave up: ModuleNotFoundError" in output


def test_render_views(tmp_path: Path) -> None:
    write_testdataset(tmp_path / "meshes", 2)
    small = ("--directory", "meshes", "--count", "2", "--views", "1", "--size", "16")
    output = run(tmp_path, "render_views.py", *small)
    assert "2 of 2 models, 1 views of 16 px" in output and "ours     finished 2 of 2" in output
    assert all(float(number) > 0 for number in re.findall(r"([\d.]+) in the median", output))
