"""Losses by hand, and what they train."""

import math

import numpy as np
import pytest
import torch

from triform.systems.shap_e.config import DiffusionConfig
from triform.systems.shap_e.loss import color_loss, diffusion_loss, field_loss, normal_kl
from triform.systems.shap_e.noise_schedule import NoiseSchedule

SCHEDULE = NoiseSchedule(DiffusionConfig())


def inputs(seed: int = 0):
    random = torch.Generator().manual_seed(seed)
    x0 = torch.rand(2, 3, 4, generator=random) * 2 - 1
    noise, t = torch.randn(2, 3, 4, generator=random), torch.tensor([1, 100])
    output = torch.randn(2, 3, 8, generator=random, requires_grad=True)
    return output, x0, SCHEDULE.add_noise(x0, t, noise), t, noise


def test_squared_error_and_bound_by_hand():
    output, x0, x_t, t, noise = inputs()
    losses = diffusion_loss(SCHEDULE, output, x0, x_t, t, noise)
    prediction, variance = (part.detach().double().numpy() for part in output.chunk(2, -1))
    mse = ((x0.numpy() - prediction) ** 2).mean((1, 2))
    np.testing.assert_allclose(losses["mse"].detach(), mse, rtol=1e-5)
    betas = 1 - SCHEDULE.alphas_cumprod / np.append(1.0, SCHEDULE.alphas_cumprod[:-1])
    for row, step in enumerate(t.tolist()):
        now, before = SCHEDULE.alphas_cumprod[step], SCHEDULE.alphas_cumprod[step - 1]
        low, high = betas[step] * (1 - before) / (1 - now), betas[step]
        share = (variance[row] + 1) / 2
        predicted = np.exp(share * np.log(high) + (1 - share) * np.log(low))
        shift = math.sqrt(before) * betas[step] / (1 - now) * (x0[row].numpy() - prediction[row])
        kl = 0.5 * (np.log(predicted / low) - 1 + low / predicted + shift**2 / predicted)
        assert float(losses["vb"][row].detach()) == pytest.approx(kl.mean() / math.log(2), rel=1e-3)
    torch.testing.assert_close(losses["loss"], losses["mse"] + losses["vb"])


def test_the_bound_trains_the_variance_alone():
    output, x0, x_t, t, noise = inputs()
    losses = diffusion_loss(SCHEDULE, output, x0, x_t, t, noise)
    (gradient,) = torch.autograd.grad(losses["vb"].sum(), output, retain_graph=True)
    mean, variance = gradient.chunk(2, -1)
    assert not mean.any() and bool(variance.all())
    (gradient,) = torch.autograd.grad(losses["mse"].sum(), output)
    mean, variance = gradient.chunk(2, -1)
    assert bool(mean.all()) and not variance.any()


def test_divergence_is_that_of_torch():
    a = torch.distributions.Normal(torch.tensor(0.3), torch.tensor(0.7))
    b = torch.distributions.Normal(torch.tensor(-0.2), torch.tensor(1.9))
    expected = torch.distributions.kl_divergence(a, b)
    got = normal_kl(a.mean, 2 * a.scale.log(), b.mean, 2 * b.scale.log())
    torch.testing.assert_close(got, expected)


def test_field_and_colors_by_hand():
    field, target = torch.tensor([[0.5, -1.0]]), torch.tensor([[0.0, -1.0]])
    losses = field_loss(field, target)
    assert float(losses["distance"]) == pytest.approx((0.5 * 5 + 0) / 2)
    sign = (math.log1p(math.exp(5.0)) + math.log1p(math.exp(-10.0))) / 2
    assert float(losses["sign"]) == pytest.approx(sign, rel=1e-5)
    assert float(color_loss(torch.zeros(1, 2, 3), torch.full((1, 2, 3), 0.25))) == 0.25
