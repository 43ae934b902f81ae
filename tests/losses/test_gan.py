"""Adversarial losses and the penalty against torch's and closed forms."""

import torch
from torch.nn import functional as F

from triform.losses.gan import discriminator_loss, generator_loss, r1_penalty

LOGITS = torch.linspace(-5, 5, 11)


def test_losses_are_cross_entropies_of_being_right():
    ones, zeros = torch.ones_like(LOGITS), torch.zeros_like(LOGITS)
    both = F.binary_cross_entropy_with_logits(LOGITS, ones) + F.binary_cross_entropy_with_logits(
        -LOGITS, zeros
    )
    torch.testing.assert_close(discriminator_loss(LOGITS, -LOGITS), both)
    torch.testing.assert_close(
        generator_loss(LOGITS), F.binary_cross_entropy_with_logits(LOGITS, ones)
    )
    torch.testing.assert_close(
        generator_loss(LOGITS, saturating=True), -F.binary_cross_entropy_with_logits(LOGITS, zeros)
    )


def test_the_saturating_gradient_vanishes_where_the_other_does_not():
    sure = torch.tensor([-20.0], requires_grad=True)
    for saturating, least, most in ((True, 0, 1e-8), (False, 0.99, 1.01)):
        (gradient,) = torch.autograd.grad(generator_loss(sure, saturating=saturating), sure)
        assert least <= gradient.abs() <= most


def test_penalty_of_a_linear_discriminator_is_half_its_squared_weight():
    weight = torch.randn(12, generator=torch.Generator().manual_seed(0), requires_grad=True)
    real = torch.randn(5, 3, 2, 2, requires_grad=True)
    penalty = r1_penalty(real.flatten(1) @ weight, real)
    torch.testing.assert_close(penalty, weight.square().sum() / 2)
    (gradient,) = torch.autograd.grad(penalty, weight)
    torch.testing.assert_close(gradient, weight.detach())
