"""The evidence lower bound, in nats for each picture: sums over pixels, means over pictures.

Kingma and Welling, arXiv:1312.6114, equation 10; beta: Higgins et al. (openreview Sy2fzU9gl); free
bits: Kingma et al., arXiv:1606.04934, appendix C.8; importance-weighted bound: Burda et al.,
arXiv:1509.00519, equation 8.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def log_likelihood(said: Tensor, images: Tensor, log_sigma: Tensor, *, bernoulli: bool) -> Tensor:
    """log p(x given z) (B,) in nats.

    Args:
        said: (B, C, H, W), logits of pixels (bernoulli) or their means (gaussian).
        images: (B, C, H, W) in [0, 1]; grey pixels stand for their own probability (bernoulli).
        log_sigma: () of a pixel (gaussian).
        bernoulli: which likelihood.
    """
    said, images = said.float(), images.float()
    if bernoulli:
        each = -F.binary_cross_entropy_with_logits(said, images, reduction="none")
    else:
        error = (images - said) / log_sigma.exp()
        each = -(error.square() + math.log(2 * math.pi)) / 2 - log_sigma
    return each.flatten(1).sum(1)


def vae_loss(
    log_likelihoods: Tensor, kl: Tensor, *, beta: float, free_bits: float = 0.0
) -> dict[str, Tensor]:
    """All of the loss.

    Args:
        log_likelihoods: (B,) nats.
        kl: (B, D) nats of each unit, or (B, 1) of all together.
        beta: weight of the KL divergence.
        free_bits: nats of each unit (a mean over the batch) that cost nothing.

    Returns:
        `loss`; `reconstruction`, `kl` and `elbo` in nats for each picture.
    """
    units = kl.mean(0)
    whole = units.sum()
    paid = units.clamp(min=free_bits).sum() if free_bits else whole
    reconstruction = -log_likelihoods.mean()
    return {
        "loss": reconstruction + beta * paid,
        "reconstruction": reconstruction,
        "kl": whole,
        "elbo": -(reconstruction + whole),
    }


def importance_weighted(log_joint: Tensor, log_posterior: Tensor) -> Tensor:
    """The bound on log p(x) (B,) by K codes of each picture.

    Args:
        log_joint: (K, B) log p(x, z).
        log_posterior: (K, B) log q(z given x).
    """
    weights = log_joint - log_posterior
    return torch.logsumexp(weights, 0) - math.log(len(weights))
