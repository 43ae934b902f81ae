"""Adversarial losses against torch's, the penalty against a closed form, the watch in its cases."""

import logging

import torch
from torch.nn import functional as F

from triform.losses.gan import discriminator_loss, generator_loss, r1_penalty
from triform.losses.gan_watch import PATIENCE, GanWatch

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


def test_penalty_of_a_linear_judge_is_half_its_squared_weight():
    weight = torch.randn(12, generator=torch.Generator().manual_seed(0), requires_grad=True)
    real = torch.randn(5, 3, 2, 2, requires_grad=True)
    penalty = r1_penalty(real.flatten(1) @ weight, real)
    torch.testing.assert_close(penalty, weight.square().sum() / 2)
    (gradient,) = torch.autograd.grad(penalty, weight)
    torch.testing.assert_close(gradient, weight.detach())


def test_each_failure_is_warned_of_once_and_survives_a_resume(caplog):
    random = torch.Generator().manual_seed(0)
    real, made = torch.randn(2, 16, 4, generator=random).unbind()
    unsure, right = torch.zeros(16), torch.full((16,), 9.0)
    loss, cases = (
        torch.tensor(0.7),
        {
            "right more": (real, made, right, -right, torch.tensor(0.7)),
            "collapse": (real, 0.1 * made, unsure, unsure + 1, torch.tensor(0.7)),
            "unstable": (real, made, unsure, unsure + 1, torch.tensor(30.0)),
        },
    )
    for words, given in cases.items():
        caplog.clear()
        watch = GanWatch()
        with caplog.at_level(logging.WARNING):
            for _ in range(PATIENCE - 1):
                watch.look(*given)
            assert not caplog.records
            again = GanWatch()
            again.load_state_dict(watch.state_dict())
            for _ in range(3):
                again.look(*given)
        assert len(caplog.records) == 1 and words in caplog.text
    watch = GanWatch()
    seen = watch.look(real, made, unsure, unsure + 1, loss)
    assert seen["discriminator_accuracy"] == 0 and 0.5 < seen["diversity"] < 2
