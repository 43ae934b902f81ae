"""Benchmarks of Shap-E run; what they measure is for a quiet machine."""

from pathlib import Path

from benchmark_process import run

from triform.base.settings.config import parse
from triform.datasets.library.config import PrepareSettings
from triform.datasets.library.preparation import prepare
from triform.datasets.testdataset import write_testdataset


def test_shap_e_full_size(tmp_path: Path) -> None:
    small = ("--prior_width", "64", "--prior_layers", "1", "--vectors", "16", "--lora_rank", "2")
    output = run(tmp_path, "shap_e_full_size.py", "text300M", *small)
    assert "training step: " in output and "(1, 16, 1024), finite True" in output


def test_shap_e_encode(tmp_path: Path) -> None:
    write_testdataset(tmp_path / "meshes", 2)
    flags = ["--views", "2", "--image_size", "32", "--workers", "1"]
    library = str(tmp_path / "library")
    prepare.run(parse(PrepareSettings, [str(tmp_path / "meshes"), library, *flags]))
    small = ("--objects", "2", "--batch_size", "2", "--rounds", "1", "--preset", "tiny")
    output = run(tmp_path, "shap_e_encode.py", library, *small)
    assert "batches of 1: " in output and "2 objects; ratio" in output
