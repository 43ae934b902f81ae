"""The losses of the voxel VAE-GAN and its flow prior."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def vae_loss(
    logits: Tensor,
    voxels: Tensor,
    mu: Tensor,
    logvar: Tensor,
    *,
    kl_weight: float,
    dice_weight: float,
) -> dict[str, Tensor]:
    """Negative ELBO per voxel (arXiv:1312.6114 equation 10) plus a Dice term.

    Both parts of the ELBO are sums over one shape divided by its number of voxels, so that
    `kl_weight` 1 is the ELBO at any resolution. The Dice loss (arXiv:1606.04797 section 3) ignores
    true negatives: without it, empty voxels are a minimum for shapes of 5 % occupancy.

    Args:
        logits: Voxel logits (B, 1, R, R, R).
        voxels: Occupancy in {0, 1}, same shape.
        mu: Posterior means (B, z).
        logvar: Posterior log variances (B, z).
        kl_weight: Weight of the KL divergence to N(0, I).
        dice_weight: Weight of the Dice loss.

    Returns:
        Scalars: `vae` (the sum to minimize), `bce` (nats per voxel), `dice` in [0, 1], `kl`
        (nats per shape).
    """
    logits = logits.float()
    bce = F.binary_cross_entropy_with_logits(logits, voxels)
    probabilities = torch.sigmoid(logits).flatten(1)
    targets = voxels.flatten(1)
    overlap = (probabilities * targets).sum(1)
    dice = 1 - (2 * overlap + 1) / (probabilities.sum(1) + targets.sum(1) + 1)
    mu, logvar = mu.float(), logvar.float()
    kl = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum(1).mean()
    num_voxels = voxels[0].numel()
    vae = bce + kl_weight * kl / num_voxels + dice_weight * dice.mean()
    return {"vae": vae, "bce": bce, "dice": dice.mean(), "kl": kl}


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Non-saturating GAN loss with one-sided smoothing of the real label to 0.9.

    arXiv:1406.2661 section 3, arXiv:1606.03498 section 3.4.
    """
    real = F.binary_cross_entropy_with_logits(real_logits, torch.full_like(real_logits, 0.9))
    fake = F.binary_cross_entropy_with_logits(fake_logits, torch.zeros_like(fake_logits))
    return (real + fake) / 2


def adversarial_loss(fake_logits: Tensor) -> Tensor:
    """Non-saturating generator loss (arXiv:1406.2661 section 3)."""
    return F.binary_cross_entropy_with_logits(fake_logits, torch.ones_like(fake_logits))


def binarize(logits: Tensor) -> Tensor:
    """Occupancy in {0, 1} at p > 0.5, with the straight-through gradient (arXiv:1308.3432).

    Real voxels are binary; a discriminator could tell probabilities or logits from them by their
    values alone.
    """
    probabilities = torch.sigmoid(logits.float())
    rounded = (probabilities > 0.5).float()
    return rounded + (probabilities - probabilities.detach())
