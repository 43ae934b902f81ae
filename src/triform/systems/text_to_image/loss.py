"""All losses of text to image."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from triform.systems.text_to_image.config import TextToImageTrainingConfig


def vae_loss(
    reconstruction: Tensor,
    images: Tensor,
    mean: Tensor,
    logvar: Tensor,
    training: TextToImageTrainingConfig,
) -> dict[str, Tensor]:
    """Loss of the autoencoder; every term is a mean over all numbers.

    Args:
        reconstruction: (B, C, S, S).
        images: (B, C, S, S) in [0, 1].
        mean: (B, L, H, W) of the posterior.
        logvar: (B, L, H, W), its log variance.
        training: Weights.

    Returns:
        `loss`, `l1` and `squared` of pixels, `gradient` (L1 of differences of neighbours), `kl` in
        nats.
    """
    l1 = F.l1_loss(reconstruction, images)
    squared = F.mse_loss(reconstruction, images)
    gradient = gradient_loss(reconstruction, images)
    kl = (mean.square() + logvar.exp() - 1 - logvar).mean() / 2
    loss = l1 + training.squared_weight * squared + training.gradient_weight * gradient
    loss = loss + training.kl_weight * kl
    return {"loss": loss, "l1": l1, "squared": squared, "gradient": gradient, "kl": kl}


def gradient_loss(output: Tensor, target: Tensor) -> Tensor:
    """Mean of the L1 distances of vertical and horizontal differences of (B, C, S, S)."""
    return (
        F.l1_loss(output.diff(dim=2), target.diff(dim=2))
        + F.l1_loss(output.diff(dim=3), target.diff(dim=3))
    ) / 2


def regression_loss(prediction: Tensor, latents: Tensor) -> Tensor:
    """Mean squared error of normalized latents; 1 is that of their mean."""
    return F.mse_loss(prediction.float(), latents)


def matching_discriminator_loss(real: Tensor, fake: Tensor, mismatched: Tensor) -> Tensor:
    """Cross-entropies of logits (B,) in nats; 2 ln 2 = 1.386 where nothing is told apart.

    Real images with texts of other images count as half of the negatives (arXiv:1605.05396,
    section 4.1).
    """
    negative = (F.softplus(fake.float()).mean() + F.softplus(mismatched.float()).mean()) / 2
    return F.softplus(-real.float()).mean() + negative
