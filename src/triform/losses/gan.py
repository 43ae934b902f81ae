"""Losses of a generator and a discriminator that says logits.

Goodfellow et al., arXiv:1406.2661; the gradient penalty R1 is of Mescheder et al.,
arXiv:1801.04406, section 4.1.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Logits (B,) of real and of made samples; the mean of -log of being right, summed."""
    return F.softplus(-real.float()).mean() + F.softplus(fake.float()).mean()


def generator_loss(fake: Tensor, *, saturating: bool = False) -> Tensor:
    """Logits (B,) of made samples.

    Args:
        fake: what the discriminator says.
        saturating: the minimax form log(1 - D), whose gradient vanishes where D is sure; else
            -log D.
    """
    if saturating:
        return -F.softplus(fake.float()).mean()
    return F.softplus(-fake.float()).mean()


def r1_penalty(real_logits: Tensor, real: Tensor) -> Tensor:
    """Half the squared gradient of logits (B,) by real samples (B, ...), a mean over samples."""
    (gradient,) = torch.autograd.grad(real_logits.sum(), real, create_graph=True)
    return gradient.float().square().flatten(1).sum(1).mean() / 2
