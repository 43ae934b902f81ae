"""Adversarial losses of a generator and a discriminator that returns logits.

Goodfellow et al., arXiv:1406.2661; gradient penalty R1: Mescheder et al., arXiv:1801.04406,
section 4.1.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

R1_INTERVAL = 16
"""Steps between two gradient penalties (lazy regularisation, arXiv:1912.04958, section 3.1)."""
R1_NOT_SHARDED = "the penalty --r1 is a gradient of a gradient, which needs whole parameters"
"""Why FSDP cannot be used with the penalty."""


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Sum of the cross-entropies of logits (B,) of real and of generated samples, in nats."""
    return F.softplus(-real_logits.float()).mean() + F.softplus(fake_logits.float()).mean()


def generator_loss(fake_logits: Tensor, *, saturating: bool = False) -> Tensor:
    """Loss of the generator, in nats.

    Args:
        fake_logits: Logits (B,) of generated samples.
        saturating: The minimax form log(1 - D), whose gradient vanishes where D is certain; else
            -log D.
    """
    if saturating:
        return -F.softplus(fake_logits.float()).mean()
    return F.softplus(-fake_logits.float()).mean()


def r1_penalty(real_logits: Tensor, real: Tensor) -> Tensor:
    """Half the squared gradient of logits (B,) by real samples (B, ...), a mean over samples."""
    (gradient,) = torch.autograd.grad(real_logits.sum(), real, create_graph=True)
    return gradient.float().square().flatten(1).sum(1).mean() / 2


def lazy_r1(real_logits: Tensor, real: Tensor, weight: float) -> Tensor:
    """R1 penalty of a step that applies it, weighted for the `R1_INTERVAL` steps it stands for.

    Args:
        real_logits: Logits (B,) of real samples.
        real: Samples (B, ...) that require gradients.
        weight: Weight of the penalty.
    """
    return R1_INTERVAL * weight * r1_penalty(real_logits, real)
