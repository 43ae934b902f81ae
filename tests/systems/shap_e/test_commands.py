"""The command line from end to end, with the tiny preset on a small library."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from triform import cli
from triform.geometry.io.load import load_mesh
from triform.geometry.voxels.surface import is_watertight
from triform.systems.shap_e.trained import Trained


@pytest.fixture(scope="module")
def run(shapes, tmp_path_factory) -> Path:
    """A run of a few steps whose decoder is given a ball, so that there is something to export."""
    folder = tmp_path_factory.mktemp("runs")
    flags = f"--config tiny --data_dir {shapes} --output_dir {folder} --device cpu --epochs 1"
    assert cli.main(["shap_e", "train", *flags.split()]) == 0
    (path,) = folder.glob("shap_e/run_*")
    return path


def answer(capsys, *arguments: object) -> object:
    assert cli.main([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def filled(monkeypatch) -> None:
    """Let every latent decode to a ball of radius 0.6, red in its upper half."""
    from triform.systems.shap_e.transmitter.decoder import Decoder, FieldValues

    def query(self, weights, positions, directions=None):
        inside = 0.6 - positions.norm(dim=-1)
        red = (positions[..., 1:2] > 0).float()
        colors = torch.cat([red, torch.zeros_like(red), 1 - red], -1)
        density = 50 * (inside > 0).float()[..., None].expand(*inside.shape, 2)
        both = colors[..., None, :].expand(*inside.shape, 2, 3)
        return FieldValues(inside, colors, density, both)

    monkeypatch.setattr(Decoder, "query", query)


def test_weights_that_ship_make_a_bed(tmp_path, monkeypatch, capsys):
    """Where no run is in `output`: wider and deeper than high, by the guidance of the weights."""
    monkeypatch.chdir(tmp_path)
    trained = Trained.choose(None, "cpu")
    assert trained.source.name == "shap_e.safetensors"
    assert trained.config.model.default_guidance == 2.0
    flags = ("--prompt", "a bed", "--karras_steps", 16, "--grid_size", 48, "--device", "cpu")
    (row,) = answer(capsys, "shap_e", "generate", *flags, "--output", "bed.obj")
    mesh = load_mesh(tmp_path / "bed.obj")
    assert row["faces"] == len(mesh.faces) and is_watertight(mesh)
    width, height, depth = np.ptp(mesh.vertices, axis=0)
    assert depth > width > 0.3 and depth > 1.2 * height


@pytest.mark.parametrize("render", ["mesh", "nerf"])
def test_generate_writes_meshes_and_previews(run, tmp_path, monkeypatch, capsys, render):
    filled(monkeypatch)
    rows = answer(
        *(capsys, "shap_e", "generate", "--checkpoint", run, "--device", "cpu", "--prompt"),
        *("a chair", "a table", "--output", f"{tmp_path}/", "--format", "glb", "obj", "ply"),
        *("--karras_steps", 3, "--preview", "gif" if render == "mesh" else "png"),
        *("--render", render, "--preview_size", 32, "--grid_size", 24),
    )
    assert [row["prompt"] for row in rows] == ["a chair", "a table"]
    for file in rows[0]["files"][:3]:
        mesh = load_mesh(file, appearance=True)
        assert is_watertight(mesh)
        # The ball has radius 0.6 in [-1, 1], so 0.3 in [-1/2, 1/2].
        assert mesh.volume == pytest.approx(4 / 3 * math.pi * 0.3**3, rel=0.03)
        top = mesh.triangles[..., 1].min(1) > 0.05
        assert (mesh.appearance.corner_colors[top] == [255, 0, 0]).all()
    preview = Image.open(rows[0]["files"][3])
    assert preview.size == (32, 32) and getattr(preview, "n_frames", 1) == (
        20 if render == "mesh" else 1
    )
    pixels = np.asarray(preview.convert("RGB"))
    assert pixels[0, 0].min() > 230  # background
    lowest = 27 if render == "mesh" else 20  # the mesh fills its preview, seen from above
    upper, lower = pixels[12, 16].astype(int), pixels[lowest, 16].astype(int)
    assert upper[0] > upper[2] + 50 and lower[2] > lower[0] + 50


def test_wrong_conditions_are_usage_errors(run, tmp_path, capsys):
    flags = ["--checkpoint", str(run), "--device", "cpu", "--output", str(tmp_path / "a.glb")]
    (tmp_path / "a.png").write_bytes(b"")
    for wrong in (["--image", str(tmp_path / "a.png")], ["--output", str(tmp_path / "a.stl")]):
        assert cli.main(["shap_e", "generate", *flags, *wrong]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "a.glb").exists()


def test_encode_evaluate_and_train_on_the_latents(run, shapes, tmp_path, capsys):
    """The run's own encoder makes latents; a prior is trained on them; both are measured."""
    latents = tmp_path / "latents"
    report = answer(
        *(capsys, "shap_e", "encode", shapes, "--transmitter", run, "--output", latents),
        *("--device", "cpu"),
    )
    assert report["encoded"] == report["objects"] == len(list(latents.glob("*.npy")))
    flags = f"--config tiny --no_joint --data_dir {shapes} --latents_dir {latents} --epochs 1"
    flags += f" --output_dir {tmp_path / 'second'} --device cpu"
    assert cli.main(["shap_e", "train", *flags.split()]) == 0
    (second,) = (tmp_path / "second").glob("shap_e/run_*")
    assert Trained.from_checkpoint(second / "checkpoints" / "best.pth", "cpu").transmitter is None
    assert cli.main(["shap_e", "generate", "--checkpoint", str(second), "--device", "cpu"]) == 1
    assert "--transmitter" in capsys.readouterr().err
    for checkpoint, more in ((second, ["--transmitter", run]), (run, [])):
        report = answer(
            *(capsys, "shap_e", "evaluate", "--checkpoint", checkpoint, *more, "--split", "train"),
            *("--karras_steps", 2, "--device", "cpu", "--output", tmp_path / "report"),
            *("--before", checkpoint, "--max_samples", 6),
        )
        assert report["objects"] == 6 and 0 <= report["R@1"] <= 1
        assert report["loss"] == pytest.approx(report["mse"] + report["vb"], abs=1e-5)
        assert ("iou" in report) == (checkpoint == run)
        assert (tmp_path / "report" / "sheet.png").stat().st_size
