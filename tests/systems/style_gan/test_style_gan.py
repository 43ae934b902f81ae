"""Modulation against one convolution per picture, mixing, truncation, and the verbs."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from triform import cli
from triform.layers.picture_facts import PictureFacts
from triform.systems.style_gan.config import Config, ModelConfig
from triform.systems.style_gan.model import (
    GAIN,
    SLOPE,
    Discriminator,
    Generator,
    StyledLayer,
    with_spread,
)
from triform.systems.style_gan.system import System

PLAIN = ModelConfig(width=8, latent_dim=6, noise=False)


def test_modulation_is_a_convolution_with_weights_of_each_picture():
    """arXiv:1912.04958, equations 1 and 3, picture by picture."""
    torch.manual_seed(0)
    layer = StyledLayer(4, 5, 6, PLAIN, grows=False)
    x, w = torch.randn(3, 4, 7, 7), torch.randn(3, 6)
    for picture, style, ours in zip(x, layer.style(w), layer(x, w), strict=True):
        weight = layer.weight * layer.scale * style[None, :, None, None]
        weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        h = F.conv2d(picture[None], weight, padding=1)[0] + layer.bias[:, None, None]
        torch.testing.assert_close(ours, F.leaky_relu(h, SLOPE) * GAIN, rtol=1e-4, atol=1e-5)


def test_adain_gives_each_channel_the_mean_and_deviation_of_its_style():
    torch.manual_seed(0)
    layer = StyledLayer(4, 5, 6, PLAIN.model_copy(update={"modulation": "adain"}), grows=False)
    w = torch.randn(3, 6)
    scale, shift = layer.style(w).chunk(2, 1)
    h = layer(torch.randn(3, 4, 9, 9), w) / GAIN
    h = torch.where(h < 0, h / SLOPE, h)
    torch.testing.assert_close(h.mean((2, 3)), shift - 1, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(h.std((2, 3), correction=0), scale.abs(), rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("size", [8, 28, 31, 32])
@pytest.mark.parametrize("channels", [1, 3])
def test_sizes(size, channels):
    facts = PictureFacts(channels, size)
    made = Generator(ModelConfig(width=8), facts)(torch.randn(4, 64))
    assert made.shape == (4, channels, size, size)
    assert Discriminator(ModelConfig(width=8), facts)(made).shape == (4,)


def test_mixing_takes_the_second_style_from_a_layer_on():
    network = Generator(PLAIN, PictureFacts(1, 28)).eval()
    a, b = torch.randn(2, 3, 6).unbind()
    first, second = network(a), network(b)
    ends = torch.full((3,), network.num_layers)
    torch.testing.assert_close(network(a, b, ends), first)
    torch.testing.assert_close(network(a, b, torch.zeros_like(ends)), second)
    between = network(a, b, torch.full_like(ends, 2))
    assert not torch.allclose(between, first) and not torch.allclose(between, second)


def test_full_truncation_is_the_average_picture():
    network = Generator(PLAIN, PictureFacts(1, 8))
    for _ in range(20):
        network(torch.randn(32, 6))
    network.eval()
    w = network.mapping(torch.randn(5, 6))
    assert torch.equal(network.truncated(w, 0), network.mapping.average.expand(5, -1))
    torch.testing.assert_close(network.truncated(w, 1), w)


def test_the_last_channel_tells_equal_pictures_from_different_ones():
    same = torch.randn(1, 3, 4, 4).expand(8, -1, -1, -1)
    assert with_spread(same)[:, -1].max() < 1e-3 < with_spread(torch.randn(8, 3, 4, 4))[:, -1].min()


def test_noise_changes_pictures_once_it_is_learned_and_is_the_same_for_the_same_seed():
    network = Generator(PLAIN.model_copy(update={"noise": True}), PictureFacts(1, 8))
    z = torch.randn(4, 6)
    network(z).square().sum().backward()
    strengths = [layer.noise for layer in network.layers]
    assert all(each.grad.abs().min() > 0 for each in strengths)
    torch.testing.assert_close(network(z), network(z))  # its strength begins at zero
    with torch.no_grad():
        for each in strengths:
            each.fill_(0.5)
    network.eval()
    seeded = [(torch.manual_seed(seed), network(z))[1] for seed in (0, 0, 1)]
    assert torch.equal(seeded[0], seeded[1]) and not torch.allclose(seeded[0], seeded[2])


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
    folder = tmp_path_factory.mktemp("style_gan")
    assert cli.main(["style_gan", "train", "--config", "tiny", "--runs_dir", str(folder)]) == 0
    (found,) = folder.glob("*/run_*")
    return found


def test_generate_mix_and_evaluate(run, tmp_path, capsys):
    given, sheet = ["--checkpoint", str(run)], tmp_path / "mixed.png"
    folder = tmp_path / "made"
    assert (
        cli.main(["style_gan", "generate", *given, "--num_samples", "3", "--output", str(folder)])
        == 0
    )
    assert len(list(folder.iterdir())) == 3
    size = ["--rows", "2", "--columns", "3"]
    assert cli.main(["style_gan", "mix", *given, *size, "--output", str(sheet)]) == 0
    assert np.asarray(Image.open(sheet)).shape == (8 * (3 * 10 + 2), 8 * (4 * 10 + 2))
    capsys.readouterr()
    assert cli.main(["style_gan", "evaluate", *given, "--num_samples", "200", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kernel_distance"] > 0
    assert cli.main(["style_gan", "mix", *given, "--crossover", "9"]) == 2
    assert "crossover: 9" in capsys.readouterr().err
