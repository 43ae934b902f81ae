import math

import pytest
import torch
from torch.distributions import Bernoulli, Normal, kl_divergence

from triform.systems.voxel_gan.loss import (
    adversarial_loss,
    binarize,
    discriminator_loss,
    vae_loss,
)


def example() -> tuple[torch.Tensor, ...]:
    torch.manual_seed(0)
    voxels = (torch.rand(3, 1, 8, 8, 8) < 0.3).float()
    return torch.randn(3, 1, 8, 8, 8), voxels, torch.randn(3, 5), torch.randn(3, 5)


def test_weight_one_is_the_elbo_per_voxel() -> None:
    logits, voxels, mu, logvar = example()
    losses = vae_loss(logits, voxels, mu, logvar, kl_weight=1.0, dice_weight=0.0)
    log_likelihood = Bernoulli(logits=logits).log_prob(voxels).flatten(1).sum(1)
    kl = kl_divergence(Normal(mu, (logvar / 2).exp()), Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(losses["kl"], kl.mean())
    torch.testing.assert_close(losses["vae"], -(log_likelihood - kl).mean() / 8**3)


def test_kl_weight_means_the_same_at_any_resolution() -> None:
    _, _, mu, logvar = example()
    parts = []
    for size in (4, 16):
        voxels = torch.zeros(3, 1, size, size, size)
        losses = vae_loss(voxels, voxels, mu, logvar, kl_weight=2.0, dice_weight=0.0)
        parts.append((losses["vae"] - losses["bce"]) * size**3)
    torch.testing.assert_close(parts[0], parts[1], rtol=1e-3, atol=0)


def test_dice_is_nothing_for_the_right_answer_and_nearly_one_for_none() -> None:
    voxels = torch.zeros(1, 1, 8, 8, 8)
    voxels[..., :2] = 1
    sure = 100 * (2 * voxels - 1)
    zeros = torch.zeros(1, 2)
    right = vae_loss(sure, voxels, zeros, zeros, kl_weight=0, dice_weight=1)
    empty = vae_loss(
        -100 * torch.ones_like(voxels), voxels, zeros, zeros, kl_weight=0, dice_weight=1
    )
    assert right["dice"] < 1e-6
    assert empty["dice"] > 0.99


def test_every_part_by_hand() -> None:
    """Two shapes of eight voxels, half full and empty; Dice is smoothed by 1 above and below."""
    logit = torch.tensor(3.0).log()  # probability 3/4
    voxels = torch.zeros(2, 1, 2, 2, 2)
    voxels[0, 0, 0] = 1  # four of eight
    logits = torch.where(voxels > 0, logit, -logit)
    mu, logvar = torch.tensor([[1.0, -2.0], [0.0, 0.0]]), torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    losses = vae_loss(logits, voxels, mu, logvar, kl_weight=0.5, dice_weight=3.0)
    # first: overlap 3, sums 4 and 4; second: overlap 0, sums 2 and 0
    dice = ((1 - 7 / 9) + (1 - 1 / 3)) / 2
    kl = (2.5 + 0.5 * (math.e - 2)) / 2
    bce = math.log(4 / 3)
    expected = {"dice": dice, "kl": kl, "bce": bce, "vae": bce + 0.5 * kl / 8 + 3 * dice}
    assert {name: float(value) for name, value in losses.items()} == pytest.approx(expected)


def test_binarize_is_binary_forward_and_the_probability_backward() -> None:
    logits = torch.tensor([[-3.0, -0.1, 0.1, 4.0]], requires_grad=True)
    rounded = binarize(logits)
    assert torch.equal(rounded.detach(), torch.tensor([[0.0, 0.0, 1.0, 1.0]]))
    rounded.sum().backward()
    p = torch.sigmoid(logits.detach())
    torch.testing.assert_close(logits.grad, p * (1 - p))


def test_gan_losses_against_their_definition() -> None:
    real, fake = torch.tensor([[0.3], [2.0]]), torch.tensor([[-1.0], [0.5]])
    d_real, d_fake = torch.sigmoid(real), torch.sigmoid(fake)
    expected = -(0.9 * d_real.log() + 0.1 * (1 - d_real).log()).mean() - (1 - d_fake).log().mean()
    torch.testing.assert_close(discriminator_loss(real, fake), expected / 2)
    torch.testing.assert_close(adversarial_loss(fake), -d_fake.log().mean())
