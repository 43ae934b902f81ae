"""Losses of text to image by values worked out by hand."""

import math

import pytest
import torch

from triform.systems.text_to_image.config import TextToImageTrainingConfig
from triform.systems.text_to_image.loss import (
    gradient_loss,
    matching_discriminator_loss,
    regression_loss,
    vae_loss,
)


def test_loss_of_the_vae_by_hand():
    training = TextToImageTrainingConfig(kl_weight=0.5, gradient_weight=0.25, squared_weight=2.0)
    images = torch.tensor([[[[0.0, 1.0], [0.5, 0.5]]]])
    reconstruction = torch.tensor([[[[0.2, 1.0], [0.5, 0.1]]]])
    mean, logvar = torch.tensor([[[[2.0]]]]), torch.tensor([[[[math.log(4.0)]]]])
    losses = vae_loss(reconstruction, images, mean, logvar, training)
    assert float(losses["l1"]) == pytest.approx((0.2 + 0.4) / 4)
    # Downwards 0.3 and -0.9 instead of 0.5 and -0.5; to the right 0.8 and -0.4 instead of 1 and 0.
    assert float(losses["gradient"]) == pytest.approx(((0.2 + 0.4) / 2 + (0.2 + 0.4) / 2) / 2)
    assert float(losses["kl"]) == pytest.approx((4 + 4 - 1 - math.log(4)) / 2)
    assert float(losses["squared"]) == pytest.approx((0.2**2 + 0.4**2) / 4)
    weights = {"l1": 1, "squared": 2, "gradient": 0.25, "kl": 0.5}
    expected = sum(weight * float(losses[name]) for name, weight in weights.items())
    assert float(losses["loss"]) == pytest.approx(expected)


def test_gradient_loss_does_not_see_brightness():
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert float(gradient_loss(images + 0.25, images)) == pytest.approx(0, abs=1e-6)


def test_regression_loss_by_hand():
    latents = torch.tensor([[1.0, -1.0]])
    assert float(regression_loss(torch.zeros(1, 2), latents)) == pytest.approx(1.0)


def test_mismatched_texts_are_half_of_the_negatives():
    zero = torch.zeros(4)
    assert float(matching_discriminator_loss(zero, zero, zero)) == pytest.approx(2 * math.log(2))
    real, fake, mismatched = torch.tensor([2.0]), torch.tensor([-1.0]), torch.tensor([3.0])
    expected = (
        math.log(1 + math.exp(-2)) + (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(3))) / 2
    )
    assert float(matching_discriminator_loss(real, fake, mismatched)) == pytest.approx(expected)
