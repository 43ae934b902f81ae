"""The losses by hand."""

from __future__ import annotations

import math

import torch

from triform.systems.shape_flow.config import LossConfig
from triform.systems.shape_flow.loss import (
    SIGN_SCALE,
    autoencoder_loss,
    color_loss,
    dice_loss,
    gradient_loss,
)


def test_terms_of_two_samples() -> None:
    """Truth 0 and -1 voxels in two layers of four, prediction half a voxel too far inside."""
    target = torch.tensor([0.0, -1.0]).reshape(1, 1, 2, 1, 1).repeat(1, 1, 1, 2, 2)
    predicted = target - 0.5
    colors = torch.zeros(1, 4, 1, 1, 1)
    mean, logvar = torch.full((1, 1, 1, 1, 1), 2.0), torch.zeros(1, 1, 1, 1, 1)
    weights = LossConfig(
        surface_weight=6,
        surface_width=0.7,
        sign_weight=0.5,
        dice_weight=0.25,
        gradient_weight=0.0,
        color_weight=1.0,
        kl_weight=0.01,
    )
    losses = autoencoder_loss(
        predicted, target, torch.zeros(1, 3, 1, 1, 1), colors, mean, logvar, weights
    )
    distance = 0.5 * ((1 + 6) + (1 + 6 * math.exp(-1 / 0.7))) / 2
    logits = [SIGN_SCALE * 0.5, SIGN_SCALE * 1.5]
    sign = (math.log1p(math.exp(logits[0])) + math.log1p(math.exp(-logits[1]))) / 2
    inside = [1 / (1 + math.exp(-logit)) for logit in logits]
    dice = 1 - (2 * 4 * inside[1] + 1) / (4 * sum(inside) + 4 + 1)
    for name, value in {"distance": distance, "sign": sign, "dice": dice, "kl": 2.0}.items():
        torch.testing.assert_close(losses[name], torch.tensor(value), msg=name)
    expected = distance + 0.5 * sign + 0.25 * dice + 0.01 * 2
    torch.testing.assert_close(losses["loss"], torch.tensor(expected))


def test_a_perfect_answer_costs_nothing() -> None:
    target = torch.randn(2, 1, 4, 4, 4)
    assert gradient_loss(target, target, torch.ones_like(target)) == 0
    inside = (target < 0).float()
    torch.testing.assert_close(dice_loss(inside, inside), torch.tensor(0.0))


def test_a_constant_shift_has_no_gradient_error() -> None:
    target, weight = torch.randn(1, 1, 3, 3, 3), torch.ones(1, 1, 3, 3, 3)
    torch.testing.assert_close(gradient_loss(target + 1, target, weight), torch.tensor(0.0))
    ramp = target + torch.arange(3.0).reshape(1, 1, 3, 1, 1) * 2
    torch.testing.assert_close(gradient_loss(ramp, target, weight), torch.tensor(2 / 3))


def test_filled_colors_count_a_tenth_and_shapes_without_colors_nothing() -> None:
    target = torch.zeros(2, 4, 2, 1, 1)
    target[0, :, 0] = torch.tensor([0.5, -0.5, 0.0, 1.0]).reshape(4, 1, 1)
    target[0, :3, 1] = 0.4
    predicted = torch.full((2, 3, 2, 1, 1), 1.0)
    expected = torch.tensor((1.0 + 0.1 * 0.6) / 1.1)  # known: (0.5 + 1.5 + 1) / 3
    torch.testing.assert_close(color_loss(predicted, target), expected)
    assert color_loss(predicted, torch.zeros_like(target)) == 0
