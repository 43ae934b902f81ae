"""Constants of the diffusion process, by hand and against diffusers."""

import math

import numpy as np
import pytest
import torch
from diffusers import HeunDiscreteScheduler

from triform.systems.shap_e.config import DiffusionConfig
from triform.systems.shap_e.noise_schedule import NoiseSchedule


def test_signal_is_the_exponential_of_minus_twelve_t():
    schedule = NoiseSchedule(DiffusionConfig())
    expected = [math.exp(-12 * (step + 1) / 1024) for step in range(1024)]
    assert len(schedule) == 1024
    np.testing.assert_allclose(schedule.alphas_cumprod, expected, rtol=1e-9)


def test_it_is_that_of_diffusers():
    scheduler = HeunDiscreteScheduler(beta_schedule="exp", num_train_timesteps=1024)
    schedule = NoiseSchedule(DiffusionConfig())
    expected = scheduler.alphas_cumprod.numpy()
    np.testing.assert_allclose(schedule.alphas_cumprod, expected, rtol=1e-4)


def test_posterior_of_two_steps_by_hand():
    """Of betas b0, b1: the mean and variance of x_0 given x_1, by Bayes."""
    schedule = NoiseSchedule(DiffusionConfig(timesteps=2))
    first, second = math.exp(-6), math.exp(-6)  # alphas of both steps
    beta = 1 - second
    variance = beta * (1 - first) / (1 - first * second)
    assert schedule.posterior_log_variance[1] == pytest.approx(math.log(variance))
    x0, x1 = torch.tensor([[0.5]]), torch.tensor([[-1.0]])
    mean = (beta * math.sqrt(first) * 0.5 + (1 - first) * math.sqrt(second) * -1.0) / (
        1 - first * second
    )
    got = schedule.posterior_mean(x0, x1, torch.tensor([1]))
    assert float(got) == pytest.approx(mean, rel=1e-6)


def test_noise_prediction_gives_latents_back():
    schedule = NoiseSchedule(DiffusionConfig(mean_type="epsilon", schedule="cosine"))
    x0, noise = torch.randn(3, 4), torch.randn(3, 4)
    t = torch.tensor([0, 400, 900])
    x_t = schedule.add_noise(x0, t, noise)
    torch.testing.assert_close(schedule.predict_x0(noise, x_t, t), x0, rtol=1e-3, atol=1e-3)


def test_steps_of_noise_levels():
    schedule = NoiseSchedule(DiffusionConfig())
    for step in (0, 5, 511, 1022):
        share = schedule.alphas_cumprod[step]
        sigma = math.sqrt(1 / share - 1)
        assert schedule.step_of(sigma * (1 + 1e-9)) == step
    assert schedule.step_of(1e-3) == 0 and schedule.step_of(1e5) == 1023
