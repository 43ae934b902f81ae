"""Evidence lower bound, in nats per image: sums over pixels, means over images.

Kingma and Welling, arXiv:1312.6114, equation 10; beta: Higgins et al. (openreview Sy2fzU9gl); free
bits: Kingma et al., arXiv:1606.04934, appendix C.8; importance-weighted bound: Burda et al.,
arXiv:1509.00519, equation 8.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def log_likelihood(output: Tensor, images: Tensor, log_sigma: Tensor, *, bernoulli: bool) -> Tensor:
    """log p(x given z) (B,) in nats.

    Args:
        output: Output of the decoder (B, C, H, W): logits of pixels (bernoulli) or their means
            (gaussian).
        images: (B, C, H, W) in [0, 1]; a grey pixel is its own probability (bernoulli).
        log_sigma: Log standard deviation () of a pixel (gaussian).
        bernoulli: Which likelihood.
    """
    output, images = output.float(), images.float()
    if bernoulli:
        log_probs = -F.binary_cross_entropy_with_logits(output, images, reduction="none")
    else:
        error = (images - output) / log_sigma.exp()
        log_probs = -(error.square() + math.log(2 * math.pi)) / 2 - log_sigma
    return log_probs.flatten(1).sum(1)


def vae_loss(
    log_likelihoods: Tensor, kl: Tensor, *, beta: float, free_bits: float = 0.0
) -> dict[str, Tensor]:
    """All of the loss.

    Args:
        log_likelihoods: (B,) nats.
        kl: (B, D) nats of each dimension, or (B, 1) of all together.
        beta: Weight of the KL divergence.
        free_bits: Nats of each dimension (a mean over the batch) that are not penalised.

    Returns:
        `loss`; `reconstruction`, `kl` and `elbo` in nats per image.
    """
    kl_per_dim = kl.mean(0)
    total_kl = kl_per_dim.sum()
    penalty = kl_per_dim.clamp(min=free_bits).sum() if free_bits else total_kl
    reconstruction = -log_likelihoods.mean()
    return {
        "loss": reconstruction + beta * penalty,
        "reconstruction": reconstruction,
        "kl": total_kl,
        "elbo": -(reconstruction + total_kl),
    }


def importance_weighted_bound(log_joint: Tensor, log_posterior: Tensor) -> Tensor:
    """Importance-weighted bound on log p(x) (B,) by K latents of each image.

    Args:
        log_joint: (K, B) log p(x, z).
        log_posterior: (K, B) log q(z given x).
    """
    log_weights = log_joint - log_posterior
    return torch.logsumexp(log_weights, 0) - math.log(len(log_weights))
