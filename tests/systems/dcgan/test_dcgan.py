"""Networks at any size, what holds the discriminator back, and the verbs."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from triform import cli
from triform.layers.picture_facts import PictureFacts, halvings
from triform.systems.dcgan.config import Config, ModelConfig
from triform.systems.dcgan.loss import LAZY, of_discriminator
from triform.systems.dcgan.model import Discriminator, Generator
from triform.systems.dcgan.system import System


@pytest.mark.parametrize(
    ("size", "levels"), [(8, (1, 4)), (28, (2, 7)), (32, (3, 4)), (31, (2, 8)), (64, (4, 4))]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_sizes(size, levels, channels):
    assert halvings(size) == levels
    config, facts = ModelConfig(width=8, latent_dim=5), PictureFacts(channels, size)
    made = Generator(config, facts)(torch.randn(3, 5))
    assert made.shape == (3, channels, size, size) and made.abs().max() <= 1
    assert Discriminator(config, facts)(made).shape == (3,)


def test_documented_sizes_of_28_pixels():
    """7, 14, 28 with kernels of 4: no chequerboard, nothing resized."""
    network = Generator(ModelConfig(), PictureFacts(1, 28))
    assert [layer[0].kernel_size for layer in network.grow] == [(4, 4), (4, 4)]
    h = network.enter(torch.randn(2, 100, 1, 1))
    assert h.shape[-1] == 7 and network.grow(h).shape[-1] == 28


def test_spectral_norm_bounds_the_slope():
    """No layer stretches anything, so neither do all of them (leaky ReLU does not either)."""
    torch.manual_seed(0)
    judge = Discriminator(ModelConfig(width=8), PictureFacts(1, 8))
    with torch.no_grad():
        for _ in range(50):  # power iterations
            judge(torch.randn(4, 1, 8, 8))
        judge.eval()
        weight = judge.judge.weight
        assert torch.linalg.matrix_norm(weight, 2) == pytest.approx(1, abs=1e-3)


def test_the_penalty_is_paid_when_asked_for():
    real = torch.randn(3, 1, 2, 2, requires_grad=True)
    logits = real.flatten(1).sum(1)
    without = of_discriminator(logits, -logits)
    paid = of_discriminator(logits, -logits, real, r1=0.5)
    torch.testing.assert_close(paid - without, torch.tensor(LAZY * 0.5 * 4 / 2))


def test_steps_that_pay_the_penalty_look_at_real_pictures_in_float32():
    data, training = {"dataset": "digits", "batch_size": 8}, {"r1": 0.1}
    system = System(Config.model_validate({"data": data, "training": training}))
    batches, seen = system.batches(), []
    system.networks["discriminator"].register_forward_pre_hook(
        lambda *_: seen.append(torch.is_autocast_enabled("cpu"))
    )
    for _ in range(2):
        with torch.autocast("cpu", torch.bfloat16):
            system.step(next(batches), lambda *_: None)
    # real, made, made for the generator; the second step pays nothing
    assert seen == [False, True, True, True, True, True]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A tiny trained run."""
    folder = tmp_path_factory.mktemp("dcgan")
    assert cli.main(["dcgan", "train", "--config", "tiny", "--runs_dir", str(folder)]) == 0
    (found,) = folder.glob("*/run_*")
    return found


def test_generate_and_evaluate(run, tmp_path, capsys):
    given = ["--checkpoint", str(run)]
    sheet = tmp_path / "made.png"
    assert (
        cli.main(["dcgan", "generate", *given, "--num_samples", "9", "--output", str(sheet)]) == 0
    )
    assert np.asarray(Image.open(sheet)).shape == (8 * (3 * 10 + 2),) * 2
    capsys.readouterr()
    assert cli.main(["dcgan", "evaluate", *given, "--num_samples", "200", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert 0 <= said["recall"] <= 1 and said["kernel_distance"] > 0
    assert cli.main(["dcgan", "generate", "--checkpoint", "nothing.pth"]) == 1
    assert "nothing.pth" in capsys.readouterr().err


def test_vanishing_gradients_on_purpose_are_warned_of(tmp_path, capsys, caplog):
    given = ["dcgan", "train", "--config", "vanishing", "--runs_dir", str(tmp_path),
             "--width", "8", "--epochs", "40", "--evaluate_every", "40"]  # fmt: skip
    assert cli.main(given) == 0
    assert "generator learns little" in (next(tmp_path.rglob("training.log"))).read_text()
