import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from triform.base.errors import UsageError, UserError
from triform.geometry.mesh import Mesh
from triform.geometry.voxels.surface import is_watertight, main_component_share
from triform.systems.voxel_gan.config import GenerateConfig, SamplingConfig
from triform.systems.voxel_gan.generation import (
    Request,
    ShapeGenerator,
    connected_mesh,
    generate,
    output_paths,
    read_requests,
)


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


def test_names_of_files(tmp_path: Path) -> None:
    requests = [Request("A chair!", 1), Request("A chair!", 2)]
    single = output_paths(settings(output="a/table.glb"), requests[:1])
    assert single == [[Path("a/table.glb")]]
    both = output_paths(settings(output="t.obj", format=("obj", "ply")), requests)
    assert both[1] == [Path("t_002.obj"), Path("t_002.ply")]
    folder = output_paths(settings(output=str(tmp_path)), requests)
    assert folder[0] == [tmp_path / "001-a-chair-1.obj"]
    assert len({file for files in folder for file in files}) == 2
    with pytest.raises(UsageError, match=r"--output model\.fbx: \.fbx is none of"):
        output_paths(settings(output="model.fbx"), requests)


def test_every_prompt_with_every_seed(tmp_path: Path) -> None:
    listed = tmp_path / "prompts.txt"
    listed.write_text("a bed\n\n  a lamp \n")
    asked = read_requests(settings(prompt="a chair", prompt_file=listed, num_samples=2, seed=7))
    assert asked == [
        Request(prompt, seed) for prompt in ("a chair", "a bed", "a lamp") for seed in (7, 8)
    ]
    assert read_requests(settings()) == [Request("", 42)]
    listed.write_text("\n")
    with pytest.raises(UserError, match="no line of text"):
        read_requests(settings(prompt_file=listed))


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


def test_files_are_written_whole_and_closed(tiny_run: Path, tmp_path: Path) -> None:
    rows = generate(
        settings(
            checkpoint=str(tiny_run),
            device="cpu",
            prompt=("a chair", "a table"),
            num_steps=2,
            output=str(tmp_path / "out"),
            format=("obj", "glb", "ply", "stl"),
            sheet=tmp_path / "sheet.png",
            level=0.2,
        )
    )
    assert [row["prompt"] for row in rows] == ["a chair", "a table"]
    for row in rows:
        files = row["files"].split()
        assert [Path(file).suffix for file in files] == [".obj", ".glb", ".ply", ".stl"]
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


def test_show_without_a_display_is_one_line(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_display(self: object, **_: object) -> None:
        raise RuntimeError("no display\nat all")

    monkeypatch.setattr(trimesh.Trimesh, "show", no_display)
    with pytest.raises(UserError, match="--show: no window can be opened") as caught:
        generate(
            settings(
                checkpoint=str(tiny_run),
                device="cpu",
                num_steps=2,
                level=0.2,
                show=True,
                output=str(tmp_path / "model.obj"),
            )
        )
    assert "\n" not in str(caught.value) and (tmp_path / "model.obj").is_file()


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
        "0.2",
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
        loaded = trimesh.load(row["files"], force="mesh", process=True)
        mesh = Mesh(np.asarray(loaded.vertices), np.asarray(loaded.faces))
        extent = np.ptp(mesh.vertices, axis=0)
        assert 0.9 < extent.max() <= 1.05  # the shape fills the unit cube
        heights.append(extent[1] / extent[[0, 2]].max())
    chair, table, bed = heights
    assert chair > 1.1 > table > bed  # chairs are taller than wide, beds are low
    assert torch.get_default_dtype() == torch.float32


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
