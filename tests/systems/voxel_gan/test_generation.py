import json
import webbrowser
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from triform.base.errors import UsageError, UserError
from triform.base.settings.config import parse
from triform.geometry.mesh import Mesh
from triform.geometry.voxels.surface import is_watertight, main_component_share
from triform.systems.voxel_gan.config import GenerateConfig, SamplingConfig
from triform.systems.voxel_gan.generation import (
    ShapeGenerator,
    connected_mesh,
    generate,
)
from triform.tasks.shape_generation.mesh_output import Request


def settings(**changes: object) -> GenerateConfig:
    return GenerateConfig.model_validate(changes)


def bridge(strength: float) -> np.ndarray:
    """Two equal blocks, held together by voxels of a given occupancy."""
    grid = np.zeros((24, 24, 24))
    grid[2:10, 8:16, 8:16] = grid[14:22, 8:16, 8:16] = 0.9
    grid[10:14, 10:14, 10:14] = strength
    return grid


def test_a_faint_bridge_holds_together_what_almost_touches() -> None:
    mesh = connected_mesh(bridge(0.4))
    assert np.ptp(mesh.vertices[:, 0]) > 19 / 24  # both blocks are there
    assert main_component_share(mesh) == 1 and is_watertight(mesh)


def test_a_floating_speck_is_dropped() -> None:
    grid = np.zeros((24, 24, 24))
    grid[2:10, 8:16, 8:16] = 0.9
    grid[20:22, 8:10, 8:10] = 0.9
    mesh = connected_mesh(grid)
    assert mesh.vertices[:, 0].max() < 12 / 24 - 0.5
    assert main_component_share(mesh) == 1 and is_watertight(mesh)


def test_noise_alone_still_gives_one_closed_piece() -> None:
    grid = np.random.default_rng(0).random((16, 16, 16))
    mesh = connected_mesh(grid)
    assert is_watertight(mesh) and main_component_share(mesh) == 1


def test_a_shape_depends_on_its_prompt_and_seed_alone(tiny_run: Path) -> None:
    shapes = ShapeGenerator(SamplingConfig(checkpoint=str(tiny_run), device="cpu", num_steps=4))
    together = list(shapes.generate([Request("a chair", 1), Request("a bed", 2), Request("", 3)]))
    alone = next(shapes.generate([Request("a bed", 2)]))
    # one shape or three in a batch: other kernels, the same numbers but for rounding
    np.testing.assert_allclose(together[1], alone, atol=1e-5)
    other_seed = next(shapes.generate([Request("a bed", 3)]))
    other_text = next(shapes.generate([Request("a window", 2)]))
    assert np.abs(other_seed - alone).max() > 1e-4
    assert np.abs(other_text - alone).max() > 1e-6
    assert all(
        grid.shape == (16, 16, 16) and 0 <= grid.min() <= grid.max() <= 1 for grid in together
    )


def test_no_prompt_is_the_zero_condition_and_needs_no_encoder(
    tiny_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "triform.systems.voxel_gan.generation.load_text_encoder",
        lambda name: pytest.fail("asked for a text encoder"),
    )
    shapes = ShapeGenerator(SamplingConfig(checkpoint=str(tiny_run), device="cpu", num_steps=2))
    assert not shapes.conditions(["", " "]).any()


def test_a_prompt_far_from_all_captions_is_named_in_one_line(
    tiny_run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prompts = (
        "3d model of a chair",
        "3D model of красивый закат",
        *(f"xqzt bvkw {n}" for n in "abcdef"),
    )
    flags = {"checkpoint": str(tiny_run), "device": "cpu", "num_steps": 2, "prompt": prompts}
    generate(settings(**flags, num_samples=2, output=str(tmp_path / "out")))
    (line,) = {text for text in caplog.messages if "far from every training caption" in text}
    assert "'3D model of красивый закат' (nearest '" in line and "'xqzt bvkw d'" in line
    assert line.endswith(" and 2 more") and "a chair' (" not in line

    shapes = ShapeGenerator(SamplingConfig(checkpoint=str(tiny_run), device="cpu"))
    for damaged in ({"texts": ["a"], "embeddings": "AAAA"}, {"texts": ["a"]}, ["a"]):
        shapes.trained.metadata = {"captions": damaged}
        with pytest.raises(UserError, match="its captions cannot be read"):
            shapes.warn_of_unknown(["a chair"])
    shapes.trained.metadata = {}  # of weights without captions
    caplog.clear()
    shapes.warn_of_unknown(["xqzt bvkw"])
    assert not caplog.messages


def test_files_are_written_whole_and_closed(tiny_run: Path, tmp_path: Path) -> None:
    rows = generate(
        settings(
            checkpoint=str(tiny_run),
            device="cpu",
            prompt=("a chair", "a table"),
            num_steps=2,
            output=str(tmp_path / "out"),
            format=("obj", "glb", "ply", "stl", "3mf"),
            sheet=tmp_path / "sheet.png",
            level=0.2,
        )
    )
    assert [row["prompt"] for row in rows] == ["a chair", "a table"]
    for row in rows:
        files = row["files"]
        assert [Path(file).suffix for file in files] == [".obj", ".glb", ".ply", ".stl", ".3mf"]
        for file in files:
            mesh = trimesh.load(file, force="mesh", process=True)
            assert len(mesh.faces) == row["faces"]
        assert row["watertight"] and row["main_part"] == 1
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")


def test_decimated_meshes_stay_closed(tiny_run: Path, tmp_path: Path) -> None:
    (row,) = generate(
        settings(
            checkpoint=str(tiny_run),
            device="cpu",
            num_steps=2,
            level=0.2,
            max_faces=120,
            output=str(tmp_path / "small.obj"),
        )
    )
    assert row["faces"] <= 180 and row["watertight"]


def test_show_writes_a_page_and_opens_it(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the browser that is set, which here is a program that notes what it was given."""
    program, note = tmp_path / "browser", tmp_path / "note"
    program.write_text(f'#!/bin/sh\nprintf %s "$1" > {note}\n')
    program.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(program))
    webbrowser._tryorder = None  # read the setting anew
    flags = {"checkpoint": str(tiny_run), "device": "cpu", "num_steps": 2, "level": 0.2}
    generate(settings(**flags, show=True, num_samples=2, output=str(tmp_path / "model.obj")))
    page = tmp_path / "model_001.html"
    assert note.read_text() == page.as_uri() and page.stat().st_size > 500_000
    webbrowser._tryorder = None


def test_show_without_a_display_says_what_to_do(
    tiny_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    flags = {"checkpoint": str(tiny_run), "device": "cpu", "num_steps": 2, "level": 0.2}
    generate(settings(**flags, show=True, output=str(tmp_path / "model.obj")))
    assert (tmp_path / "model.obj").is_file() and (tmp_path / "model.html").is_file()
    assert f"open {tmp_path / 'model.html'} in any browser" in caplog.text


def test_the_command_answers_with_json(
    tiny_run: Path, tmp_path: Path, triform: Callable[..., object]
) -> None:
    done = triform(
        "voxel_gan",
        "generate",
        "--checkpoint",
        str(tiny_run),
        "--prompt",
        "a chair",
        "--level",
        "0.05",
        "--num_steps",
        "2",
        "--output",
        "chair.obj",
        "--json",
    )
    assert done.returncode == 0, done.stderr  # type: ignore[attr-defined]
    (row,) = json.loads(done.stdout)  # type: ignore[attr-defined]
    assert row["prompt"] == "a chair" and row["watertight"] is True
    assert (tmp_path / "chair.obj").is_file()


def test_shipped_weights_make_closed_shapes_that_differ_by_prompt(tmp_path: Path) -> None:
    """The promise of the project: installed, offline, one command, a mesh."""
    rows = generate(
        settings(
            prompt=("a chair", "a table", "a double bed"),
            device="cpu",
            output=str(tmp_path),
        )
    )
    heights = []
    for row in rows:
        assert row["watertight"] and row["main_part"] > 0.95
        loaded = trimesh.load(row["files"][0], force="mesh", process=True)
        mesh = Mesh(np.asarray(loaded.vertices), np.asarray(loaded.faces))
        extent = np.ptp(mesh.vertices, axis=0)
        assert 0.9 < extent.max() <= 1.05  # the shape fills the unit cube
        heights.append(extent[1] / extent[[0, 2]].max())
    chair, table, bed = heights
    assert chair > 1.1 > table > bed  # chairs are taller than wide, beds are low
    assert torch.get_default_dtype() == torch.float32


def test_documented_flags_of_training_are_compared_with_the_checkpoint(
    tiny_run: Path, tmp_path: Path
) -> None:
    """`--voxel_size` of the checkpoint is accepted, another one is refused before any work."""
    flags = ["--checkpoint", str(tiny_run), "--device", "cpu", "--num_steps", "2", "--level", "0.2"]
    flags += ["--output", str(tmp_path / "model.obj"), "--epochs", "3", "--voxel_size"]
    with pytest.raises(UsageError, match=r"--voxel_size 48: .* was trained with 16"):
        generate(parse(GenerateConfig, [*flags, "48"]))
    assert not (tmp_path / "model.obj").exists()
    assert generate(parse(GenerateConfig, [*flags, "16"]))[0]["files"]


def test_an_empty_shape_is_said(
    tiny_run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Above the highest probability there is nothing, though marching cubes gives a few faces."""
    (row,) = generate(
        settings(
            checkpoint=str(tiny_run),
            device="cpu",
            num_steps=2,
            level=0.999,
            prompt=("a chair",),
            output=str(tmp_path / "model.obj"),
        )
    )
    assert row["watertight"] == "empty"
    assert "prompt 'a chair', seed 42: the shape is empty" in caplog.text


@pytest.mark.parametrize("prompt", ["", "  ", "\t"])
def test_a_blank_prompt_is_refused(prompt: str, triform: Callable[..., object]) -> None:
    done = triform("voxel_gan", "generate", "--prompt", prompt)
    assert done.returncode == 2 and "--prompt" in done.stderr  # type: ignore[attr-defined]
