"""The U-Net at any size, its parameters, and the verbs through the command line."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from triform import cli
from triform.layers.image_spec import ImageSpec
from triform.systems.diffusion.config import ModelConfig
from triform.systems.diffusion.model import (
    MAX_EXPLICIT_ATTENTION,
    GroupNorm32,
    UNet,
    attention,
    timestep_embedding,
)
from triform.systems.diffusion.trained import Trained, stretch_contrast


@pytest.mark.parametrize(("height", "width"), [(28, 28), (32, 32), (31, 29), (8, 8), (5, 7)])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_output_has_the_shape_of_the_input(channels, height, width):
    config = ModelConfig(width=16, multipliers=(1, 2, 2), attention_levels=(2,))
    network = UNet(config, ImageSpec(channels, 28, ("a", "b")))
    x = torch.randn(2, channels, height, width)
    assert network(x, torch.tensor([0, 999]), torch.tensor([0, 2])).shape == x.shape


def test_it_is_conditioned_on_time_and_class():
    torch.manual_seed(0)
    network = UNet(ModelConfig(width=16), ImageSpec(1, 8, ("a", "b")))
    for parameter in network.parameters():  # zero weights would pass nothing on
        torch.nn.init.normal_(parameter, 0, 0.1)
    x, t = torch.randn(1, 1, 8, 8), torch.tensor([10])
    plain = network(x, t, torch.tensor([0]))
    assert not torch.allclose(plain, network(x, torch.tensor([900]), torch.tensor([0])))
    assert not torch.allclose(plain, network(x, t, torch.tensor([1])))
    torch.testing.assert_close(network(x, t), network(x, t, torch.tensor([2])))


def test_time_embeddings_are_those_of_diffusers():
    from diffusers.models.embeddings import get_timestep_embedding

    t = torch.tensor([0, 1, 500, 999])
    theirs = get_timestep_embedding(t, 32, downscale_freq_shift=0)
    torch.testing.assert_close(timestep_embedding(t, 32), theirs, rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A tiny trained run."""
    folder = tmp_path_factory.mktemp("diffusion")
    assert cli.main(["diffusion", "train", "--config", "tiny", "--runs_dir", str(folder)]) == 0
    (found,) = folder.glob("*/run_*")
    return found


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpm"])
def test_generate_with_each_sampler(run, sampler, tmp_path):
    inputs = [
        "diffusion",
        "generate",
        "--checkpoint",
        str(run),
        "--sampler",
        sampler,
        "--steps",
        "4",
        "--num_samples",
        "6",
        "--labels",
        "3",
        "7",
    ]
    assert cli.main([*inputs, "--output", str(tmp_path / "generated")]) == 0
    assert len(list((tmp_path / "generated").glob("*.png"))) == 6
    assert (
        cli.main([*inputs, "--guidance", "3", "--show_steps", "--output", str(tmp_path / "c.png")])
        == 0
    )
    assert np.asarray(Image.open(tmp_path / "c.png")).ndim == 2


def test_evaluate_reports_quality_and_time(run, tmp_path, capsys):
    sheet = tmp_path / "nearest.png"
    inputs = [
        "diffusion",
        "evaluate",
        "--checkpoint",
        str(run),
        "--steps",
        "2",
        "--json",
        "--num_samples",
        "200",
        "--output",
        str(sheet),
        "--classification_score",
    ]
    assert cli.main(inputs) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["images"] == 200 and report["milliseconds_per_image"] > 0
    assert report["kernel_distance"] > report["kernel_distance_floor"] and sheet.is_file()
    assert 0 <= report["classification_score"] <= 1


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--steps", "101"], "more than the 100"),
        (["--labels", "ten"], "no class 'ten'"),
        (["--show_steps", "--output", "folder"], "must be a .png"),
    ],
)
def test_wrong_input_is_one_line(run, flags, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["diffusion", "generate", "--checkpoint", str(run), *flags]) == 2
    message = capsys.readouterr().err
    assert words in message and message.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("positions", [5, MAX_EXPLICIT_ATTENTION, MAX_EXPLICIT_ATTENTION + 1])
def test_explicit_attention_is_that_of_torch(positions):
    random = torch.Generator().manual_seed(0)
    query, key, value = torch.randn(3, 2, 3, positions, 8, generator=random).unbind()
    theirs = torch.nn.functional.scaled_dot_product_attention(query, key, value)
    torch.testing.assert_close(attention(query, key, value), theirs, rtol=1e-4, atol=1e-5)


def test_norms_stay_in_float32_between_convolutions_in_bf16():
    """Statistics of bf16 sums would be wrong, and slow."""
    norm = GroupNorm32(16)
    x = torch.randn(2, 16, 6, 6, generator=torch.Generator().manual_seed(0)) * 0.01 + 20
    x = x.bfloat16()
    exact = torch.nn.functional.group_norm(x.double(), 8)
    assert norm(x).dtype == torch.bfloat16
    torch.testing.assert_close(norm(x).double(), exact, rtol=1e-2, atol=1e-2)


def test_nearly_black_and_nearly_white_become_so():
    x = torch.tensor([-1, -0.97, -0.5, 0, 0.5, 0.97, 1.0])
    assert stretch_contrast(x, 0.04).tolist() == [0, 0, 61, 128, 194, 255, 255]
    assert stretch_contrast(x, 0).tolist() == [0, 4, 64, 128, 191, 251, 255]


def test_names_of_classes_are_taken_in_any_case():
    model = Trained.choose(None, "cpu")
    assert model.labels(("Ankle boot", "BAG"), 3).tolist() == [9, 8, 9]
