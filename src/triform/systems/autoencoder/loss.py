"""Losses of the plain, the denoising and the sparse autoencoder.

Denoising (Vincent et al., doi.org/10.1145/1390156.1390294): the input is noisy, the target is
clean. Sparse: an L1 penalty on the latents, never on weights.
"""

from typing import Literal

import torch
from torch import Tensor


def add_noise(images: Tensor, factor: float, random: torch.Generator | None = None) -> Tensor:
    """Images in [0, 1] with Gaussian noise, clipped to [0, 1]."""
    noise = torch.randn(images.shape, generator=random).to(images)
    return (images + factor * noise).clamp(0, 1)


def autoencoder_loss(
    reconstruction: Tensor,
    images: Tensor,
    latents: Tensor,
    *,
    sparsity: float = 0.0,
    error: Literal["squared", "absolute"] = "squared",
) -> dict[str, Tensor]:
    """All of the loss.

    Args:
        reconstruction: (B, C, S, S) in [0, 1].
        images: (B, C, S, S) in [0, 1], the clean images.
        latents: (B, D).
        sparsity: Weight of the mean magnitude of the latents.
        error: The error of each pixel that is minimised.

    Returns:
        `loss`; `squared` and `absolute` error, means over pixels; `magnitude` of the latents.
    """
    difference = reconstruction.float() - images
    squared, absolute = difference.square().mean(), difference.abs().mean()
    magnitude = latents.float().abs().mean()
    loss = (squared if error == "squared" else absolute) + sparsity * magnitude
    return {"loss": loss, "squared": squared, "absolute": absolute, "magnitude": magnitude}


def quality_percent(absolute_error: float) -> float:
    """Reconstruction quality: 100 if every pixel is right, 0 if black and white are swapped.

    Args:
        absolute_error: Mean absolute error of pixels in [0, 1].
    """
    return 100 * (1 - absolute_error)
