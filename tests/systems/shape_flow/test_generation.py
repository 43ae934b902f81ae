"""Generation from the command line to files, and what a shape depends on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from triform import cli, web
from triform.base.errors import UserError
from triform.base.logging import NOTICE
from triform.engine.verbs import train
from triform.geometry.io.load import load_mesh
from triform.geometry.voxels.surface import is_watertight
from triform.systems.captioner import system as captioner
from triform.systems.captioner.config import CaptionConfig
from triform.systems.shape_flow.candidates import candidate_seed, soundness
from triform.systems.shape_flow.config import GenerateConfig, SamplingConfig
from triform.systems.shape_flow.generation import ShapeGenerator, generate
from triform.systems.shape_flow.system import System
from triform.tasks.shape_generation.mesh_output import Request

from .conftest import preset

FAST = {"num_steps": 2, "cell_steps": 2, "device": "cpu"}


def shapes(run: Path) -> ShapeGenerator:
    return ShapeGenerator(SamplingConfig.model_validate({"checkpoint": str(run), **FAST}))


def test_a_shape_depends_on_its_prompt_and_seed_alone(tiny_run: Path) -> None:
    generator = shapes(tiny_run)
    requests = [Request("a chair", 1), Request("a round table", 2), Request("", 3)]
    together = list(generator.generate(requests))
    alone = next(generator.generate([Request("a round table", 2)]))
    # One shape or three in a batch: other kernels, the same numbers but for rounding.
    np.testing.assert_allclose(together[1][0], alone[0], atol=1e-4)
    other_seed = next(generator.generate([Request("a round table", 3)]))
    other_text = next(generator.generate([Request("a bed", 2)]))
    assert np.abs(other_seed[0] - alone[0]).max() > 1e-4
    assert np.abs(other_text[0] - alone[0]).max() > 1e-6


def test_the_soundest_candidate_is_kept(tiny_run: Path) -> None:
    """The text names no kind, so that nothing else decides."""
    generator, request = shapes(tiny_run), Request("a thing", 5)
    seeds = [candidate_seed(request, number) for number in range(4)]
    assert seeds[0] == 5 and len(set(seeds)) == 4
    each = [next(generator.generate([Request("a thing", seed)])) for seed in seeds]
    kept = next(generator.generate([request], candidates=4))
    best = max(soundness(field) for field, _ in each)
    assert soundness(kept[0]) == pytest.approx(best, abs=1e-3)


def test_an_image_becomes_the_prompt_of_its_caption(
    tiny_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    image = Path(web.__file__).parent / "static" / "example_table.webp"
    (caption,) = [row["caption"] for row in captioner.caption(CaptionConfig(images=(str(image),)))]
    settings = GenerateConfig.model_validate(
        {
            "checkpoint": str(tiny_run),
            "prompt": ["a chair"],
            "image": image,
            "candidates": 1,
            "output": str(tmp_path / "models"),
            **FAST,
        }
    )
    with caplog.at_level(NOTICE):
        rows = generate(settings)
    assert [row["prompt"] for row in rows] == ["a chair", caption]
    assert f"{image}: understood as {caption!r}" in caplog.messages


@pytest.mark.parametrize(
    ("name", "content", "status", "message"),
    [
        ("missing.png", None, 2, "missing.png"),
        ("text.png", b"no image at all", 1, "text.png"),
    ],
)
def test_an_image_that_cannot_be_read_is_one_line(
    name: str,
    content: bytes | None,
    status: int,
    message: str,
    tiny_run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    flags = ["--checkpoint", str(tiny_run), "--image", str(path), "--device", "cpu"]
    assert cli.main(["shape_flow", "generate", *flags]) == status
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 1 and message in errors[0]


def run(capsys: pytest.CaptureFixture[str], *flags: str) -> object:
    """One command; returns what it prints as JSON."""
    assert cli.main(["shape_flow", *flags, "--device", "cpu", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_from_the_command_line_to_files(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = ["--checkpoint", str(tiny_run), "--num_steps", "2", "--cell_steps", "2"]
    flags = ["--prompt", "a chair", "a table", "--format", "glb", "stl", "--on_floor", "true"]
    sheet = tmp_path / "sheet.png"
    rows = run(capsys, "generate", *steps, *flags, "--output", str(tmp_path), "--sheet", str(sheet))
    assert isinstance(rows, list) and [row["prompt"] for row in rows] == ["a chair", "a table"]
    for row in rows:
        assert [Path(file).suffix for file in row["files"]] == [".glb", ".stl"]
        for file in row["files"]:
            assert is_watertight(load_mesh(Path(file)))
    assert sheet.stat().st_size

    rows = run(
        capsys,
        *("reconstruct", *steps, "--meshes", rows[0]["files"][1]),
        *("--output", str(tmp_path / "again")),
    )
    assert isinstance(rows, list) and Path(rows[0]["file"]).is_file() and rows[0]["watertight"]
    assert 0 <= rows[0]["fine_iou"] <= 1

    rows = run(capsys, "interpolate", *steps, "--steps", "3", "--output", str(tmp_path / "between"))
    assert isinstance(rows, list) and [row["share"] for row in rows] == [0.0, 0.5, 1.0]
    assert all(Path(row["file"]).is_file() for row in rows)


def test_a_mesh_that_is_not_there_is_one_line(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--checkpoint", str(tiny_run), "--meshes", "no.obj", "--output", str(tmp_path)]
    assert cli.main(["shape_flow", "reconstruct", *flags]) == 1
    assert "--meshes no.obj: there is no such file" in capsys.readouterr().err


def test_an_autoencoder_alone_generates_nothing_and_says_so(
    folders: list[str], tmp_path: Path
) -> None:
    flags = ["--stage", "autoencoder", "--epochs", "1", "--sample_every", "0"]
    config = preset("tiny", *folders, *flags)
    generator = shapes(Path(train(System, config)["run"]))
    with pytest.raises(UserError, match="an autoencoder without a flow"):
        next(generator.generate([Request("a chair", 1)]))
