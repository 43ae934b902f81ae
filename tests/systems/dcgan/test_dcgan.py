"""Networks at any size, spectral norm, and the verbs."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from triform import cli
from triform.layers.image_spec import ImageSpec, downsampling
from triform.losses.gan import R1_INTERVAL, lazy_r1
from triform.systems.dcgan.config import ModelConfig
from triform.systems.dcgan.model import Discriminator, Generator


@pytest.mark.parametrize(
    ("size", "levels"), [(8, (1, 4)), (28, (2, 7)), (32, (3, 4)), (31, (2, 8)), (64, (4, 4))]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_sizes(size, levels, channels):
    assert downsampling(size) == levels
    config, spec = ModelConfig(width=8, latent_dim=5), ImageSpec(channels, size)
    generated = Generator(config, spec)(torch.randn(3, 5))
    assert generated.shape == (3, channels, size, size) and generated.abs().max() <= 1
    assert Discriminator(config, spec)(generated).shape == (3,)


def test_documented_sizes_of_28_pixels():
    """7, 14, 28 with kernels of 4: no chequerboard, nothing resized."""
    network = Generator(ModelConfig(), ImageSpec(1, 28))
    assert [layer[0].kernel_size for layer in network.blocks] == [(4, 4), (4, 4)]
    h = network.stem(torch.randn(2, 100, 1, 1))
    assert h.shape[-1] == 7 and network.blocks(h).shape[-1] == 28


def test_spectral_norm_bounds_the_lipschitz_constant():
    """No layer stretches anything, so neither do all of them (leaky ReLU does not either)."""
    torch.manual_seed(0)
    discriminator = Discriminator(ModelConfig(width=8), ImageSpec(1, 8))
    with torch.no_grad():
        for _ in range(50):  # power iterations
            discriminator(torch.randn(4, 1, 8, 8))
        discriminator.eval()
        weight = discriminator.head.weight
        assert torch.linalg.matrix_norm(weight, 2) == pytest.approx(1, abs=1e-3)


def test_the_penalty_is_weighted_for_its_interval():
    real = torch.randn(3, 1, 2, 2, requires_grad=True)
    logits = real.flatten(1).sum(1)
    # The gradient of each sample is four ones: half its square is 2.
    torch.testing.assert_close(lazy_r1(logits, real, 0.5), torch.tensor(R1_INTERVAL * 0.5 * 2))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A tiny trained run."""
    folder = tmp_path_factory.mktemp("dcgan")
    assert cli.main(["dcgan", "train", "--config", "tiny", "--runs_dir", str(folder)]) == 0
    (found,) = folder.glob("*/run_*")
    return found


def test_generate_and_evaluate(run, tmp_path, capsys):
    given = ["--checkpoint", str(run)]
    sheet = tmp_path / "generated.png"
    assert (
        cli.main(["dcgan", "generate", *given, "--num_samples", "9", "--output", str(sheet)]) == 0
    )
    assert np.asarray(Image.open(sheet)).shape == (8 * (3 * 10 + 2),) * 2
    capsys.readouterr()
    assert cli.main(["dcgan", "evaluate", *given, "--num_samples", "200", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert 0 <= report["recall"] <= 1 and report["kernel_distance"] > 0
    assert cli.main(["dcgan", "generate", "--checkpoint", "nothing.pth"]) == 1
    assert "nothing.pth" in capsys.readouterr().err


def test_a_folder_of_48_drawings(tmp_path, capsys):
    """Two held-out images: there was an inner message on their kernel distance."""
    rng, folder = np.random.default_rng(0), tmp_path / "drawings"
    folder.mkdir()
    for number in range(48):
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(folder / f"{number}.png")
    given = ["--config", "tiny", "--dataset", str(folder), "--runs_dir", str(tmp_path / "runs")]
    assert cli.main(["dcgan", "train", *given]) == 0
    (run,) = tmp_path.glob("runs/*/run_*")
    capsys.readouterr()
    given = ["--checkpoint", str(run), "--num_samples", "200", "--json"]
    assert cli.main(["dcgan", "evaluate", *given]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["real_images"] == 48 and 0 <= report["copies"] <= 1


def test_vanishing_gradients_on_purpose_are_warned_of(tmp_path, capsys, caplog):
    given = [
        "dcgan",
        "train",
        "--config",
        "vanishing",
        "--runs_dir",
        str(tmp_path),
        "--width",
        "8",
        "--epochs",
        "40",
        "--evaluate_every",
        "40",
    ]
    assert cli.main(given) == 0
    assert "generator learns little" in (next(tmp_path.rglob("training.log"))).read_text()
