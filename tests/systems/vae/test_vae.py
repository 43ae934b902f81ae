"""The bound against torch's distributions and closed forms, and the verbs."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.distributions import ContinuousBernoulli, Normal, kl_divergence

from triform import cli
from triform.layers.image_spec import ImageSpec
from triform.systems.vae import loss as losses
from triform.systems.vae import prior
from triform.systems.vae.config import Config, ModelConfig
from triform.systems.vae.model import MAX_LOGVAR, Vae
from triform.systems.vae.system import System


def test_documented_dense_sizes():
    network = Vae(ModelConfig(architecture="dense", latent_dim=32), ImageSpec(1, 28))
    layers = [m for m in network.modules() if isinstance(m, nn.Linear)]
    sizes = [(layer.in_features, layer.out_features) for layer in layers]
    # Means and log variances come from one layer, which is two of 32 side by side.
    encoder = [(784, 512), (512, 512), (512, 64)]
    assert sizes == [*encoder, (32, 512), (512, 512), (512, 784)]
    images = torch.rand(3, 1, 28, 28)
    output, kl, mu = network(images, torch.zeros(3, 32))
    assert output.shape == images.shape and kl.shape == mu.shape == (3, 32)
    hidden = torch.relu(layers[1](torch.relu(layers[0](images.flatten(1)))))
    torch.testing.assert_close(mu, layers[2](hidden)[:, :32])


@pytest.fixture
def random():
    return torch.Generator().manual_seed(0)


def test_kl_is_that_of_torch(random):
    mu, logvar = torch.randn(2, 5, 3, generator=random)
    theirs = kl_divergence(Normal(mu, (logvar / 2).exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(prior.kl_divergence(mu, logvar), theirs)


def test_likelihoods_are_those_of_torch(random):
    output = torch.randn(4, 1, 3, 3, generator=random)
    images, sigma = torch.rand(4, 1, 3, 3, generator=random), torch.tensor(0.3)
    normal = Normal(output, sigma).log_prob(images).flatten(1).sum(1)
    seen = losses.log_likelihood(output, images, sigma.log(), bernoulli=False)
    torch.testing.assert_close(seen, normal)
    # Bernoulli is the continuous one without its constant, which depends on the logits alone.
    theirs = ContinuousBernoulli(logits=output)
    each = theirs.log_prob(images) - theirs._cont_bern_log_norm()
    seen = losses.log_likelihood(output, images, sigma, bernoulli=True)
    torch.testing.assert_close(seen, each.flatten(1).sum(1), rtol=1e-4, atol=1e-4)


def test_the_gradient_by_beta_is_the_kl_and_free_bits_are_not_penalised(random):
    mu, logvar = torch.randn(2, 6, 4, generator=random)
    beta = torch.tensor(0.7, requires_grad=True)
    kl = prior.kl_divergence(mu, logvar)
    parts = losses.vae_loss(torch.zeros(6), kl, beta=beta)
    (gradient,) = torch.autograd.grad(parts["loss"], beta)
    torch.testing.assert_close(gradient, parts["kl"])
    units = kl.mean(0)
    free = float(units.median())
    paid = losses.vae_loss(torch.zeros(6), kl, beta=1.0, free_bits=free)["loss"]
    torch.testing.assert_close(paid, torch.where(units < free, free, units).sum())


def test_more_latents_give_the_likelihood_of_a_linear_gaussian(random):
    """x = 2 z + 0.5 e: log p(x) is known, and the posterior used is a wrong one."""
    x = torch.tensor([0.3, -1.0, 2.0])
    truth = Normal(0.0, math.sqrt(4 + 0.25)).log_prob(x)
    posterior = Normal(x * 0.4, 0.4)
    bounds = []
    for count in (1, 10, 20_000):
        z = posterior.loc + posterior.scale * torch.randn(count, 3, generator=random)
        joint = Normal(2 * z, 0.5).log_prob(x) + Normal(0.0, 1.0).log_prob(z)
        bounds.append(losses.importance_weighted_bound(joint, posterior.log_prob(z)).mean())
    torch.testing.assert_close(bounds[2], truth.mean(), rtol=0, atol=0.02)
    assert bounds[0] < bounds[2]


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
@pytest.mark.parametrize(("channels", "size"), [(1, 8), (1, 28), (3, 31)])
def test_sizes_likelihoods_and_a_bounded_variance(likelihood, channels, size):
    config = ModelConfig(latent_dim=3, width=8, likelihood=likelihood)
    network = Vae(config, ImageSpec(channels, size))
    images = torch.rand(2, channels, size, size)
    output, kl, mu = network(images, torch.zeros(2, 3))
    assert output.shape == images.shape and mu.shape == kl.shape == (2, 3)
    assert network.decode(mu).min() >= 0 and network.decode(mu).max() <= 1
    with torch.no_grad():
        network.encoder.head.bias.fill_(1e6)
    assert network.encode(images)[1].max() == MAX_LOGVAR
    assert network.log_sigma.requires_grad == (likelihood == "gaussian")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A tiny trained run."""
    folder = tmp_path_factory.mktemp("vae")
    assert cli.main(["vae", "train", "--config", "tiny", "--runs_dir", str(folder)]) == 0
    (found,) = folder.glob("*/run_*")
    return found


def test_every_verb(run, tmp_path, capsys):
    given = ["--checkpoint", str(run)]
    assert (
        cli.main(["vae", "generate", *given, "--num_samples", "5", "--output", str(tmp_path / "a")])
        == 0
    )
    assert len(list((tmp_path / "a").glob("[!.]*"))) == 5
    sheet = tmp_path / "between.png"
    size = ["--pairs", "2", "--steps", "3", "--output", str(sheet)]
    assert cli.main(["vae", "interpolate", *given, *size]) == 0
    assert np.asarray(Image.open(sheet)).shape == (8 * (2 * 10 + 2), 8 * (5 * 10 + 2))
    units, points = tmp_path / "units.png", tmp_path / "map.png"
    flags = ["--units", "3", "--latent_map", str(points), "--output", str(units)]
    assert cli.main(["vae", "explore", *given, *flags]) == 0
    assert units.stat().st_size and points.stat().st_size
    capsys.readouterr()
    flags = ["--num_samples", "200", "--importance_images", "40", "--json"]
    assert cli.main(["vae", "evaluate", *given, *flags]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["negative_elbo"] == pytest.approx(report["reconstruction"] + report["kl"])
    assert report["importance_weighted_100"] > 0 and report["kernel_distance"] > 0


def test_gaps_of_early_stopping_are_per_value():
    """20 nats are much for 8 x 8 grey pixels, and little for 32 x 32 in colour."""
    for data, values in (({}, 64), ({"image_size": 16, "channels": 3}, 768)):
        given = {"data": {"dataset": "digits", **data}, "model": {"width": 4}}
        config = Config.model_validate(given)
        assert System(config).loss_values == values
        assert config.early_stopping.overfitting_gap_threshold == 0.025


@pytest.mark.parametrize("verb", ["interpolate", "explore"])
def test_wrong_input_is_one_line(run, verb, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["vae", verb, "--checkpoint", str(run), "--output", "folder"]) == 2
    message = capsys.readouterr().err
    assert "must be a .png" in message and message.count("\n") == 1 and not list(tmp_path.iterdir())
