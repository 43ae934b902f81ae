"""Modulation against one convolution per image, mixing, truncation, and the verbs."""

import json
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from triform import cli
from triform.layers.image_spec import ImageSpec
from triform.systems.style_gan.config import ModelConfig
from triform.systems.style_gan.model import (
    GAIN,
    LEAKY_SLOPE,
    Discriminator,
    Generator,
    StyledConv,
    append_minibatch_std,
)
from triform.tasks.image_generation.generation import generate_images

PLAIN = ModelConfig(width=8, latent_dim=6, noise=False)


def test_modulation_is_a_convolution_with_weights_of_each_image():
    """arXiv:1912.04958, equations 1 and 3, image by image."""
    torch.manual_seed(0)
    layer = StyledConv(4, 5, 6, PLAIN, upsample=False)
    x, w = torch.randn(3, 4, 7, 7), torch.randn(3, 6)
    for image, style, ours in zip(x, layer.affine(w), layer(x, w), strict=True):
        weight = layer.weight * layer.scale * style[None, :, None, None]
        weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        h = F.conv2d(image[None], weight, padding=1)[0] + layer.bias[:, None, None]
        torch.testing.assert_close(ours, F.leaky_relu(h, LEAKY_SLOPE) * GAIN, rtol=1e-4, atol=1e-5)


def test_adain_gives_each_channel_the_mean_and_deviation_of_its_style():
    torch.manual_seed(0)
    layer = StyledConv(4, 5, 6, PLAIN.model_copy(update={"modulation": "adain"}), upsample=False)
    w = torch.randn(3, 6)
    scale, shift = layer.affine(w).chunk(2, 1)
    h = layer(torch.randn(3, 4, 9, 9), w) / GAIN
    h = torch.where(h < 0, h / LEAKY_SLOPE, h)
    torch.testing.assert_close(h.mean((2, 3)), shift - 1, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(h.std((2, 3), correction=0), scale.abs(), rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("size", [8, 28, 31, 32])
@pytest.mark.parametrize("channels", [1, 3])
def test_sizes(size, channels):
    spec = ImageSpec(channels, size)
    generated = Generator(ModelConfig(width=8), spec)(torch.randn(4, 64))
    assert generated.shape == (4, channels, size, size)
    assert Discriminator(ModelConfig(width=8), spec)(generated).shape == (4,)


def test_mixing_takes_the_second_style_from_a_layer_on():
    network = Generator(PLAIN, ImageSpec(1, 28)).eval()
    a, b = torch.randn(2, 3, 6).unbind()
    first, second = network(a), network(b)
    ends = torch.full((3,), network.num_layers)
    torch.testing.assert_close(network(a, b, ends), first)
    torch.testing.assert_close(network(a, b, torch.zeros_like(ends)), second)
    between = network(a, b, torch.full_like(ends, 2))
    assert not torch.allclose(between, first) and not torch.allclose(between, second)


def test_full_truncation_is_the_average_image():
    network = Generator(PLAIN, ImageSpec(1, 8))
    for _ in range(20):
        network(torch.randn(32, 6))
    network.eval()
    w = network.mapping(torch.randn(5, 6))
    assert torch.equal(network.truncate(w, 0), network.mapping.w_avg.expand(5, -1))
    torch.testing.assert_close(network.truncate(w, 1), w)


def test_truncated_images_come_from_styles_nearer_to_the_average():
    """Half the way, and all of it: one and the same image."""
    generator = Generator(ModelConfig(width=8, latent_dim=5), ImageSpec(1, 8)).eval()
    with torch.no_grad():
        for layer in generator.layers:
            layer.noise_strength.zero_()
        generator.mapping.w_avg.normal_()
        z = torch.randn(6, 5)
        average = generator.mapping.w_avg
        w = average + 0.5 * (generator.mapping(z) - average)
        images = generator.synthesis(generator.broadcast(w))
    half = generate_images(partial(generator.generate, truncation=0.5), z, 4)
    expected = ((images + 1) / 2 * 255).round().clamp(0, 255)
    torch.testing.assert_close(half.float(), expected, rtol=0, atol=1)
    whole = generate_images(partial(generator.generate, truncation=0.0), z, 4)
    assert (whole == whole[:1]).all() and not (half == half[:1]).all()


def test_the_last_channel_tells_equal_images_from_different_ones():
    same = torch.randn(1, 3, 4, 4).expand(8, -1, -1, -1)
    assert (
        append_minibatch_std(same)[:, -1].max()
        < 1e-3
        < append_minibatch_std(torch.randn(8, 3, 4, 4))[:, -1].min()
    )


def test_noise_changes_images_once_it_is_learned_and_is_the_same_for_the_same_seed():
    network = Generator(PLAIN.model_copy(update={"noise": True}), ImageSpec(1, 8))
    z = torch.randn(4, 6)
    network(z).square().sum().backward()
    strengths = [layer.noise_strength for layer in network.layers]
    assert all(each.grad.abs().min() > 0 for each in strengths)
    torch.testing.assert_close(network(z), network(z))  # its strength begins at zero
    with torch.no_grad():
        for each in strengths:
            each.fill_(0.5)
    network.eval()
    seeded = [(torch.manual_seed(seed), network(z))[1] for seed in (0, 0, 1)]
    assert torch.equal(seeded[0], seeded[1]) and not torch.allclose(seeded[0], seeded[2])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A tiny trained run."""
    folder = tmp_path_factory.mktemp("style_gan")
    assert cli.main(["style_gan", "train", "--config", "tiny", "--runs_dir", str(folder)]) == 0
    (found,) = folder.glob("*/run_*")
    return found


def test_generate_mix_and_evaluate(run, tmp_path, capsys):
    inputs, sheet = ["--checkpoint", str(run)], tmp_path / "mixed.png"
    folder = tmp_path / "generated"
    assert (
        cli.main(["style_gan", "generate", *inputs, "--num_samples", "3", "--output", str(folder)])
        == 0
    )
    assert len(list(folder.glob("[!.]*"))) == 3
    size = ["--rows", "2", "--columns", "3"]
    assert cli.main(["style_gan", "mix", *inputs, *size, "--output", str(sheet)]) == 0
    assert np.asarray(Image.open(sheet)).shape == (8 * (3 * 10 + 2), 8 * (4 * 10 + 2))
    capsys.readouterr()
    assert cli.main(["style_gan", "evaluate", *inputs, "--num_samples", "200", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kernel_distance"] > 0
    assert cli.main(["style_gan", "mix", *inputs, "--crossover", "9"]) == 2
    assert "crossover: 9" in capsys.readouterr().err
