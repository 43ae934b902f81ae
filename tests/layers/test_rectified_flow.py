"""Integration of flows whose end is known, and guidance by hand."""

from __future__ import annotations

import torch
from diffusers.models.embeddings import get_timestep_embedding
from torch import Tensor

from triform.layers.rectified_flow import guided, integrate, precondition, time_embedding

MEAN, DEVIATION = torch.tensor([3.0, -1.0]), torch.tensor([0.5, 2.0])


def gaussian_velocity(x: Tensor, t: Tensor) -> Tensor:
    """E[x_1 - x_0 | x_t] for data N(MEAN, DEVIATION^2), independent of the noise.

    Both are Gaussian given x_t = (1 - t) x_0 + t x_1, so that it is linear in x_t.
    """
    time = t[:, None]
    variance = (1 - time).square() + (time * DEVIATION).square()
    slope = (time * DEVIATION.square() - (1 - time)) / variance
    return MEAN + slope * (x - time * MEAN)


def test_noise_ends_at_the_quantile_of_the_data() -> None:
    """The flow between two Gaussians maps every quantile to the same one: x_1 = m + s x_0."""
    noise = torch.randn(50, 2, dtype=torch.float64)
    end = integrate(gaussian_velocity, noise, 400)
    torch.testing.assert_close(end, MEAN + DEVIATION * noise, atol=1e-3, rtol=0)


def test_heun_is_of_second_order_and_euler_of_first() -> None:
    noise = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None].repeat(1, 2)
    truth = MEAN + DEVIATION * noise
    for heun, least in ((True, 3.3), (False, 1.7)):
        errors = [
            float((integrate(gaussian_velocity, noise, steps, heun=heun) - truth).abs().max())
            for steps in (40, 80)
        ]
        assert errors[0] / errors[1] > least, (heun, errors)


def test_guidance_extrapolates_inside_its_interval_only() -> None:
    velocity = guided(
        lambda x, t: torch.cat([torch.full_like(x[: len(x) // 2], 5), torch.ones_like(x[::2])]),
        lambda x, t: torch.full_like(x, 5),
        3.0,
        (0.2, 0.8),
    )
    x = torch.zeros(2, 3)
    assert (velocity(x, torch.full((2,), 0.5)) == 1 + 3 * 4).all()
    assert (velocity(x, torch.full((2,), 0.9)) == 5).all()
    assert (velocity(x, torch.full((2,), 0.1)) == 5).all()


def test_time_embedding_is_that_of_diffusers() -> None:
    t = torch.tensor([0.0, 0.25, 1.0])
    torch.testing.assert_close(
        time_embedding(t, 64),
        get_timestep_embedding(1000 * t, 64, flip_sin_to_cos=True, downscale_freq_shift=0),
    )


def test_the_closed_form_is_the_velocity_of_gaussian_data() -> None:
    x, t = torch.randn(7, 2, dtype=torch.float64), torch.rand(7, dtype=torch.float64)
    linear, scaled, scale = precondition(x, t, MEAN.double().expand(7, 2), DEVIATION.double())
    torch.testing.assert_close(linear, gaussian_velocity(x, t), atol=1e-6, rtol=1e-6)
    time = t[:, None]
    variance = (1 - time).square() + (time * DEVIATION).square()
    torch.testing.assert_close(scaled, (x - time * MEAN) / variance.sqrt(), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(scale, DEVIATION / variance.sqrt(), atol=1e-6, rtol=1e-6)


def test_outputs_are_scaled_to_the_deviation_of_what_is_unknown() -> None:
    """At noise the data are unknown, and that is their deviation; at data the noise, which is 1."""
    x, t = torch.randn(2, 2), torch.tensor([0.0, 1.0])
    _, _, scale = precondition(x, t, torch.zeros(2, 2), DEVIATION)
    torch.testing.assert_close(scale, torch.stack([DEVIATION, torch.ones(2)]))
