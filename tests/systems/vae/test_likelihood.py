"""The reported bounds against numerical integrals in one dimension; what they are measured on."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.distributions import MixtureSameFamily, Normal

from triform.base.seeding import generator
from triform.systems.vae.config import Config, EvaluateConfig
from triform.systems.vae.likelihood import likelihood_bounds
from triform.systems.vae.prior import Prior
from triform.systems.vae.system import System, Trained, evaluate

CPU = torch.device("cpu")
Z = torch.linspace(-12, 12, 24_001, dtype=torch.float64)
STEP = float(Z[1] - Z[0])
SLOPE, SIGMA = 0.8, 0.5
LOGVAR = math.log(0.3)
"""Of the posterior of the encoder; the true one is another."""


class Line(nn.Module):
    """x = 0.8 z + 0.5 e of images with one pixel; the encoder returns 0.4 x + 0.1."""

    bernoulli, log_sigma = False, torch.tensor(SIGMA).log()

    def __init__(self, prior: Prior):
        super().__init__()
        self.prior = prior

    def encode(self, images):
        x = images.flatten(1)
        return 0.4 * x + 0.1, torch.full_like(x, LOGVAR)

    def decoder(self, z):
        return (SLOPE * z).view(-1, 1, 1, 1)


def mixture() -> Prior:
    prior = Prior(1, 2).requires_grad_(False)
    prior.means.copy_(torch.tensor([[-1.0], [0.5]]))
    prior.log_sigmas.copy_(torch.tensor([[0.2], [-0.4]]))
    prior.logits.copy_(torch.tensor([0.3, -0.2]))
    return prior


def prior_density(prior: Prior) -> torch.Tensor:
    """log p(z) on the grid, by torch's distributions."""
    if not prior.is_mixture:
        return Normal(0.0, 1.0).log_prob(Z)
    components = Normal(prior.means[:, 0].double(), prior.log_sigmas[:, 0].double().exp())
    shares = torch.distributions.Categorical(logits=prior.logits.double())
    return MixtureSameFamily(shares, components).log_prob(Z)


def integrals(prior: Prior, x: float) -> tuple[float, float, float]:
    """-E_q log p(x given z), KL(q to p) and -log p(x) of one image, as sums over a fine grid."""
    q = Normal(0.4 * x + 0.1, math.exp(LOGVAR / 2)).log_prob(Z)
    p, likelihood = prior_density(prior), Normal(SLOPE * Z, SIGMA).log_prob(torch.tensor(x))
    reconstruction = -float((q.exp() * likelihood).sum() * STEP)
    divergence = float((q.exp() * (q - p)).sum() * STEP)
    return reconstruction, divergence, -math.log(float((p + likelihood).exp().sum() * STEP))


def mean_of_two(prior: Prior) -> list[float]:
    both = [integrals(prior, value / 255) for value in (51, 255)]
    return [(a + b) / 2 for a, b in zip(*both, strict=True)]


@pytest.mark.parametrize("make", [lambda: Prior(1, 1), mixture], ids=["normal", "mixture"])
def test_bounds_are_numerical_integrals(make):
    """Half of the images are dark; uneven batches, so that means of means would be wrong."""
    prior = make()
    test = torch.tensor([51, 255], dtype=torch.uint8).repeat_interleave(15_000).view(-1, 1, 1, 1)
    settings = SimpleNamespace(
        batch_size=7_000, seed=0, importance_samples=2_000, importance_images=40
    )
    bounds = likelihood_bounds(Line(prior), test, settings, active_variance=0.01, device=CPU)
    reconstruction, divergence, exact = mean_of_two(prior)
    assert bounds["reconstruction"] == pytest.approx(reconstruction, abs=0.01)
    assert bounds["kl"] == pytest.approx(divergence, abs=1e-5 if not prior.is_mixture else 0.02)
    assert bounds["negative_elbo"] == pytest.approx(reconstruction + divergence, abs=0.03)
    assert bounds["importance_weighted_2000"] == pytest.approx(exact, abs=0.01)
    # What makes the three differ is far larger than what the draws do to them.
    assert reconstruction + divergence - exact > 0.1 and divergence > 0.2
    assert bounds["active_units"] == 1  # latents of the two kinds are 0.32 apart


def test_active_units_are_counted_over_all_images_at_the_given_variance():
    """Latents of three units vary by 1, 1/4 and 0 times the variance of the images."""

    class Three(Line):
        def encode(self, images):
            x = images.flatten(1)
            return x * torch.tensor([1.0, 0.5, 0.0]), torch.zeros(len(x), 3)

        def decoder(self, z):
            return z[:, :1].reshape(-1, 1, 1, 1)

    test = torch.tensor([91, 164] * 50, dtype=torch.uint8).view(-1, 1, 1, 1)
    variance = float((test.double() / 255).var())
    assert variance == pytest.approx(0.0207, abs=1e-3)
    counted = []
    for limit in (variance / 5, 0.9 * variance, 1.1 * variance):
        settings = SimpleNamespace(batch_size=2, seed=0, importance_samples=2, importance_images=3)
        bounds = likelihood_bounds(
            Three(Prior(3, 1)), test, settings, active_variance=limit, device=CPU
        )
        counted.append(bounds["active_units"])
    assert counted == [2, 1, 0]


def small(tagged, **training) -> Config:
    inputs = {"beta": 3.0, "lr": 0.003, **training}
    return Config.model_validate(
        {
            "device": "cpu",
            "seed": 3,
            "data": {"dataset": str(tagged.folder)},
            "model": {"latent_dim": 4, "width": 8, "likelihood": "gaussian", "sigma": 0.5},
            "training": inputs,
        }
    )


def test_evaluate_measures_test_images_and_generated_ones(tagged, measured, tmp_path):
    found = measured(System(small(tagged)), evaluate, EvaluateConfig)
    assert torch.equal(found["real"], tagged.images["test"])
    assert torch.equal(found["train"], tagged.images["train"])
    assert torch.equal(found["below"], tagged.images["train"])
    trained = Trained.from_checkpoint(tmp_path / "weights.safetensors", "cpu")
    z = torch.randn(200, 4, generator=generator("generate", 5))
    with torch.no_grad():
        means = trained.vae.decoder(z).clamp(0, 1)
    torch.testing.assert_close(found["generated"].float(), (255 * means).round(), rtol=0, atol=1)
    assert torch.equal(found["above"], found["generated"])
    settings = EvaluateConfig(checkpoint="", num_samples=200, seed=5, batch_size=64)
    bounds = likelihood_bounds(
        trained.vae, tagged.images["test"], settings, active_variance=0.01, device=CPU
    )
    assert {name: found["report"][name] for name in bounds} == bounds
    assert found["report"]["likelihood"] == "gaussian"


def expected(system, images, noise, beta) -> dict[str, float]:
    """The loss and its parts by torch's distributions."""
    floats = images.float() / 255
    with torch.no_grad():
        mu, logvar = system.vae.encode(floats)
        q = Normal(mu, (logvar / 2).exp())
        output = system.vae.decoder(mu + (logvar / 2).exp() * noise)
        reconstruction = -Normal(output, 0.5).log_prob(floats).flatten(1).sum(1).mean()
        kl = torch.distributions.kl_divergence(q, Normal(0.0, 1.0)).sum(1).mean()
    return {
        "loss": float(reconstruction + beta * kl),
        "reconstruction": float(reconstruction),
        "kl": float(kl),
        "elbo": -float(reconstruction + kl),
    }


@pytest.mark.parametrize("split", ["val", "test"])
def test_validation_has_the_full_weight_from_the_first_step_on(tagged, split):
    """Also while the weight still rises in training, and not on images that were learned from."""
    system = System(small(tagged, kl_warmup_steps=1000))
    images = tagged.images[split]
    noise = torch.randn(len(images), 4, generator=generator("evaluate", split))
    with torch.no_grad():
        numbers = system.evaluate(split)
    mu, _ = system.vae.encode(images.float() / 255)
    active = int((mu.var(0) > system.config.metrics.active_variance).sum())
    assert numbers.pop("active_units") == active
    assert numbers == pytest.approx(expected(system, images, noise, 3.0), rel=1e-4)


def test_a_step_has_the_weight_that_the_warmup_has_reached(tagged):
    system = System(small(tagged, kl_warmup_steps=4, free_bits=0.0))
    batch, pushed = {"images": tagged.images["train"][:6].float() / 255}, []
    for number in range(6):
        torch.manual_seed(number)
        noise = torch.randn(6, 4)
        torch.manual_seed(number)
        system.num_steps = number  # the engine counts
        losses = system.step(batch, pushed.append)
        share = min(1.0, (number + 1) / 4)
        wanted = expected(system, tagged.images["train"][:6], noise, 3.0 * share)
        assert losses["loss"].item() == pytest.approx(wanted["loss"], rel=1e-4)
        assert pushed[-1] is losses["loss"]
