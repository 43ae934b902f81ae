"""The documented sizes, the three objectives, and the verbs."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from triform import cli
from triform.layers.picture_facts import PictureFacts
from triform.systems.autoencoder.config import Config, ModelConfig
from triform.systems.autoencoder.loss import autoencoder_loss, quality, with_noise
from triform.systems.autoencoder.model import Autoencoder
from triform.systems.autoencoder.system import System


def test_documented_sizes():
    network = Autoencoder(ModelConfig(), PictureFacts(1, 28))
    layers = [m for m in network.modules() if isinstance(m, nn.Linear)]
    assert [layer.in_features for layer in layers] == [784, 512, 256, 32, 256, 512]
    assert layers[-1].out_features == 784


@pytest.mark.parametrize("architecture", ["dense", "convolutional"])
@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 31), (1, 8)])
def test_what_comes_back_has_the_shape_of_what_went_in(architecture, channels, size):
    config = ModelConfig(architecture=architecture, latent_dim=5, width=8)
    images = torch.rand(2, channels, size, size)
    again, codes = Autoencoder(config, PictureFacts(channels, size))(images)
    assert again.shape == images.shape and codes.shape == (2, 5)
    assert again.min() >= 0 and again.max() <= 1


def test_noise_has_the_documented_factor_and_stays_in_range():
    images = torch.full((1, 1, 200, 200), 0.5)
    noisy = with_noise(images, 0.1, torch.Generator().manual_seed(0))
    assert float(noisy.std()) == pytest.approx(0.1, rel=0.02)
    loud = with_noise(images, 3.0, torch.Generator().manual_seed(0))
    assert loud.min() == 0 and loud.max() == 1


def test_losses_by_hand():
    images, again = torch.zeros(1, 1, 2, 2), torch.tensor([[[[0.0, 0.2], [0.4, 0.0]]]])
    codes = torch.tensor([[1.0, -3.0]])
    said = autoencoder_loss(again, images, codes, sparsity=0.1)
    assert float(said["loss"]) == pytest.approx(0.05 + 0.2)
    said = autoencoder_loss(again, images, codes, error="absolute")
    assert float(said["loss"]) == pytest.approx(0.15)
    assert quality(float(said["absolute"])) == pytest.approx(85)


def test_denoising_sees_noise_and_wants_the_clean_picture(monkeypatch):
    data, training = {"dataset": "digits", "batch_size": 16}, {"objective": "denoising"}
    system = System(Config.model_validate({"data": data, "training": training}))
    batch, seen = next(system.batches()), []
    network = system.networks["autoencoder"]
    network.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    pushed = []
    losses = system.step(batch, pushed.append)
    assert float((seen[0] - batch["images"]).std()) > 0.1
    with torch.no_grad():
        again, _ = network(seen[0])
    torch.testing.assert_close(losses["squared"], (again - batch["images"]).square().mean())
    assert len(pushed) == 1


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A tiny trained run, of denoising."""
    folder = tmp_path_factory.mktemp("autoencoder")
    assert cli.main(["autoencoder", "train", "--config", "tiny", "--runs_dir", str(folder)]) == 0
    (found,) = folder.glob("*/run_*")
    return found


def test_reconstruct_and_evaluate(run, tmp_path, capsys):
    given, sheet, points = ["--checkpoint", str(run)], tmp_path / "s.png", tmp_path / "m.png"
    flags = ["--num_samples", "12", "--output", str(sheet), "--latent_map", str(points)]
    assert cli.main(["autoencoder", "reconstruct", *given, *flags]) == 0
    # clean, noisy and reconstructed rows of ten and of two
    assert np.asarray(Image.open(sheet)).shape == (8 * (6 * 10 + 2), 8 * (10 * 10 + 2))
    assert points.stat().st_size
    capsys.readouterr()
    assert cli.main(["autoencoder", "evaluate", *given, "--json"]) == 0
    rows = {row["by"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert set(rows) == {"autoencoder", "8 principal components", "mean picture"}
    for row in rows.values():
        assert row["quality_percent"] == pytest.approx(100 * (1 - row["absolute_error"]))
    assert rows["8 principal components"]["squared_error"] < rows["mean picture"]["squared_error"]
    assert cli.main(["autoencoder", "reconstruct", *given, "--output", "folder"]) == 2
    assert "must be a .png" in capsys.readouterr().err
