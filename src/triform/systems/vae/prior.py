"""What codes are drawn from: one cloud around zero, or a mixture of clouds that learns its places.

A single cloud asks codes of shoes and of coats to lie as if they were of one kind; what they
cannot follow costs nats. A mixture (Tomczak and Welling, arXiv:1705.07120, their "MoG" baseline)
learns where codes lie.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

FIRST_SPREAD = 0.5


class Prior(nn.Module):
    """Standard normal (one component: nothing to learn) or a learned mixture of normals.

    Args:
        dim: numbers in a code.
        components: clouds.
    """

    def __init__(self, dim: int, components: int):
        super().__init__()
        self.dim, self.mixed = dim, components > 1
        if self.mixed:
            self.means = nn.Parameter(FIRST_SPREAD * torch.randn(components, dim))
            self.log_sigmas = nn.Parameter(torch.zeros(components, dim))
            self.logits = nn.Parameter(torch.zeros(components))

    def log_density(self, z: Tensor) -> Tensor:
        """log p(z) (N) of codes (N, D), in nats."""
        constant = self.dim * math.log(2 * math.pi)
        if not self.mixed:
            return -(z.square().sum(1) + constant) / 2
        away = (z[:, None] - self.means) * (-self.log_sigmas).exp()
        each = -(away.square().sum(2) + constant) / 2 - self.log_sigmas.sum(1)
        return torch.logsumexp(self.logits.log_softmax(0) + each, 1)

    def kl(self, mu: Tensor, logvar: Tensor, z: Tensor) -> Tensor:
        """KL of N(mu, exp(logvar)) to the prior in nats: (N, D) by units, or (N, 1) of a mixture.

        No closed form exists for a mixture: its density is that at the one code z drawn from each.
        """
        if not self.mixed:
            return kl_divergence(mu, logvar)
        entropy = (logvar.sum(1) + self.dim * (1 + math.log(2 * math.pi))) / 2
        return (-entropy - self.log_density(z))[:, None]

    @torch.no_grad()
    def draw(self, count: int, random: torch.Generator, temperature: float = 1.0) -> Tensor:
        """Codes (count, D), drawn on the processor; temperature narrows every cloud."""
        noise = temperature * torch.randn(count, self.dim, generator=random)
        if not self.mixed:
            return noise
        shares = self.logits.float().softmax(0).cpu()
        chosen = torch.multinomial(shares, count, replacement=True, generator=random)
        return (self.means.cpu()[chosen] + self.log_sigmas.exp().cpu()[chosen] * noise).float()


def kl_divergence(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mu, exp(logvar)) to N(0, 1)) of every unit, (B, D) nats."""
    return (mu.square() + logvar.exp() - 1 - logvar) / 2
