"""The prior against torch's distributions."""

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from triform.base.errors import UserError
from triform.systems.vae.config import Config, ModelConfig, VaeTrainingConfig
from triform.systems.vae.prior import Prior


def mixture(prior):
    components = Independent(Normal(prior.means, prior.log_sigmas.exp()), 1)
    return MixtureSameFamily(Categorical(logits=prior.logits), components)


@pytest.fixture
def learned():
    torch.manual_seed(0)
    prior = Prior(3, 4).requires_grad_(False)
    prior.log_sigmas.copy_(torch.randn(4, 3) / 3)
    prior.logits.copy_(torch.randn(4))
    return prior


def test_densities_are_those_of_torch(learned):
    z = torch.randn(5, 3)
    torch.testing.assert_close(learned.log_prob(z), mixture(learned).log_prob(z))
    alone = Normal(torch.zeros(3), 1.0).log_prob(z).sum(1)
    torch.testing.assert_close(Prior(3, 1).log_prob(z), alone)


def test_one_component_learned_at_zero_is_the_closed_form_on_average():
    mu, logvar = torch.randn(2, 1, 3)
    many = mu + (logvar / 2).exp() * torch.randn(100_000, 3)
    prior = Prior(3, 2).requires_grad_(False)
    prior.means.zero_()
    drawn = prior.kl(mu.expand_as(many), logvar.expand_as(many), many)
    assert drawn.shape == (100_000, 1)
    closed = Prior(3, 1).kl(mu, logvar, many[:1])
    assert closed.shape == (1, 3)
    torch.testing.assert_close(drawn.mean(), closed.sum(), rtol=0.02, atol=0.02)


def test_samples_have_the_moments_of_the_mixture(learned):
    random = torch.Generator().manual_seed(1)
    drawn = learned.sample(50_000, random)
    torch.testing.assert_close(drawn.mean(0), mixture(learned).mean, rtol=0, atol=0.03)
    torch.testing.assert_close(drawn.var(0), mixture(learned).variance, rtol=0.05, atol=0)
    cold = learned.sample(100, random, temperature=0.0)
    assert torch.cdist(cold, learned.means).min(1).values.max() < 1e-5


def test_free_bits_need_a_closed_form():
    mixed, free = ModelConfig(prior_components=2), VaeTrainingConfig(free_bits=0.1)
    Config(model=mixed)
    Config(training=free)
    with pytest.raises((UserError, ValueError), match="free_bits"):
        Config(model=mixed, training=free)
