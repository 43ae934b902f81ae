"""The losses of the autoencoder: plain, denoising and sparse differ in one term each.

Denoising (Vincent et al., doi.org/10.1145/1390156.1390294): what is seen is noisy, what is wanted
is clean. Sparse: an L1 penalty on the code, never on weights.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor


def with_noise(images: Tensor, factor: float, random: torch.Generator | None = None) -> Tensor:
    """Pictures in [0, 1] with Gaussian noise, kept within [0, 1]."""
    noise = torch.randn(images.shape, generator=random).to(images)
    return (images + factor * noise).clamp(0, 1)


def autoencoder_loss(
    again: Tensor,
    images: Tensor,
    codes: Tensor,
    *,
    sparsity: float = 0.0,
    error: Literal["squared", "absolute"] = "squared",
) -> dict[str, Tensor]:
    """All of the loss.

    Args:
        again: (B, C, S, S) in [0, 1], what came back.
        images: (B, C, S, S) in [0, 1], the clean pictures.
        codes: (B, D).
        sparsity: weight of the mean magnitude of the code's numbers.
        error: what is minimised at each pixel.

    Returns:
        `loss`; `squared` and `absolute` error, means over pixels; `magnitude` of codes.
    """
    apart = again.float() - images
    squared, absolute = apart.square().mean(), apart.abs().mean()
    magnitude = codes.float().abs().mean()
    loss = (squared if error == "squared" else absolute) + sparsity * magnitude
    return {"loss": loss, "squared": squared, "absolute": absolute, "magnitude": magnitude}


def quality(absolute: float) -> float:
    """Reconstruction quality in percent: 100 where every pixel is right, 0 where all are inverted.

    Args:
        absolute: mean absolute error of pixels in [0, 1].
    """
    return 100 * (1 - absolute)
