"""The documented sizes, the three objectives, and the verbs."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from triform import cli
from triform.layers.image_spec import ImageSpec
from triform.systems.autoencoder.config import Config, ModelConfig
from triform.systems.autoencoder.loss import add_noise, autoencoder_loss, quality_percent
from triform.systems.autoencoder.model import Autoencoder
from triform.systems.autoencoder.system import System


def test_documented_sizes():
    network = Autoencoder(ModelConfig(), ImageSpec(1, 28))
    layers = [m for m in network.modules() if isinstance(m, nn.Linear)]
    assert [layer.in_features for layer in layers] == [784, 512, 256, 32, 256, 512]
    assert layers[-1].out_features == 784


@pytest.mark.parametrize("architecture", ["dense", "convolutional"])
@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 31), (1, 8)])
def test_reconstructions_have_the_shape_of_the_images(architecture, channels, size):
    config = ModelConfig(architecture=architecture, latent_dim=5, width=8)
    images = torch.rand(2, channels, size, size)
    reconstruction, latents = Autoencoder(config, ImageSpec(channels, size))(images)
    assert reconstruction.shape == images.shape and latents.shape == (2, 5)
    assert reconstruction.min() >= 0 and reconstruction.max() <= 1


def test_noise_has_the_documented_factor_and_stays_in_range():
    images = torch.full((1, 1, 200, 200), 0.5)
    noisy = add_noise(images, 0.1, torch.Generator().manual_seed(0))
    assert float(noisy.std()) == pytest.approx(0.1, rel=0.02)
    loud = add_noise(images, 3.0, torch.Generator().manual_seed(0))
    assert loud.min() == 0 and loud.max() == 1


def test_losses_by_hand():
    images, reconstruction = torch.zeros(1, 1, 2, 2), torch.tensor([[[[0.0, 0.2], [0.4, 0.0]]]])
    latents = torch.tensor([[1.0, -3.0]])
    losses = autoencoder_loss(reconstruction, images, latents, sparsity=0.1)
    assert float(losses["loss"]) == pytest.approx(0.05 + 0.2)
    losses = autoencoder_loss(reconstruction, images, latents, error="absolute")
    assert float(losses["loss"]) == pytest.approx(0.15)
    assert quality_percent(float(losses["absolute"])) == pytest.approx(85)


def test_denoising_has_noisy_inputs_and_clean_targets(monkeypatch):
    data, training = {"dataset": "digits", "batch_size": 16}, {"objective": "denoising"}
    system = System(Config.model_validate({"data": data, "training": training}))
    batch, inputs = next(system.batches()), []
    network = system.networks["autoencoder"]
    network.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    pushed = []
    losses = system.step(batch, pushed.append)
    assert float((inputs[0] - batch["images"]).std()) > 0.1
    with torch.no_grad():
        reconstruction, _ = network(inputs[0])
    torch.testing.assert_close(
        losses["squared"], (reconstruction - batch["images"]).square().mean()
    )
    assert len(pushed) == 1


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A tiny trained run, of denoising."""
    folder = tmp_path_factory.mktemp("autoencoder")
    assert cli.main(["autoencoder", "train", "--config", "tiny", "--runs_dir", str(folder)]) == 0
    (found,) = folder.glob("*/run_*")
    return found


def test_reconstruct_and_evaluate(run, tmp_path, capsys):
    inputs, sheet, points = ["--checkpoint", str(run)], tmp_path / "s.png", tmp_path / "m.png"
    flags = ["--num_samples", "12", "--output", str(sheet), "--latent_map", str(points)]
    assert cli.main(["autoencoder", "reconstruct", *inputs, *flags]) == 0
    # clean, noisy and reconstructed rows of ten and of two
    assert np.asarray(Image.open(sheet)).shape == (8 * (6 * 10 + 2), 8 * (10 * 10 + 2))
    assert points.stat().st_size
    capsys.readouterr()
    assert cli.main(["autoencoder", "evaluate", *inputs, "--json"]) == 0
    rows = {row["by"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert set(rows) == {"autoencoder", "8 principal components", "mean image"}
    for row in rows.values():
        assert row["quality_percent"] == pytest.approx(100 * (1 - row["absolute_error"]))
    assert rows["8 principal components"]["squared_error"] < rows["mean image"]["squared_error"]
    assert cli.main(["autoencoder", "reconstruct", *inputs, "--output", "folder"]) == 2
    assert "must be a .png" in capsys.readouterr().err
