"""Prior of the latents: a standard normal, or a learned mixture of Gaussians.

One Gaussian makes latents of different kinds of images compete for the same region, which costs
nats. A mixture (Tomczak and Welling, arXiv:1705.07120, their "MoG" baseline) learns where latents
lie.
"""

import math

import torch
from torch import Tensor, nn

INIT_STD = 0.5


class Prior(nn.Module):
    """Standard normal (one component, no parameters) or a learned mixture of Gaussians.

    Args:
        latent_dim: Width of the latents.
        num_components: Components of the mixture.
    """

    def __init__(self, latent_dim: int, num_components: int):
        super().__init__()
        self.latent_dim, self.is_mixture = latent_dim, num_components > 1
        if self.is_mixture:
            self.means = nn.Parameter(INIT_STD * torch.randn(num_components, latent_dim))
            self.log_sigmas = nn.Parameter(torch.zeros(num_components, latent_dim))
            self.logits = nn.Parameter(torch.zeros(num_components))

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) (N,) of latents (N, D), in nats."""
        constant = self.latent_dim * math.log(2 * math.pi)
        if not self.is_mixture:
            return -(z.square().sum(1) + constant) / 2
        standardised = (z[:, None] - self.means) * (-self.log_sigmas).exp()
        log_probs = -(standardised.square().sum(2) + constant) / 2 - self.log_sigmas.sum(1)
        return torch.logsumexp(self.logits.log_softmax(0) + log_probs, 1)

    def kl(self, mu: Tensor, logvar: Tensor, z: Tensor) -> Tensor:
        """KL divergence of N(mu, exp(logvar)) to the prior: (N, D) nats, or (N, 1) of a mixture.

        A mixture has no closed form: its density is estimated at the one latent z (N, D) drawn
        from each posterior.
        """
        if not self.is_mixture:
            return kl_divergence(mu, logvar)
        entropy = (logvar.sum(1) + self.latent_dim * (1 + math.log(2 * math.pi))) / 2
        return (-entropy - self.log_prob(z))[:, None]

    @torch.no_grad()
    def sample(self, count: int, random: torch.Generator, temperature: float = 1.0) -> Tensor:
        """Latents (count, D) on the CPU; the temperature scales all standard deviations."""
        noise = temperature * torch.randn(count, self.latent_dim, generator=random)
        if not self.is_mixture:
            return noise
        probs = self.logits.float().softmax(0).cpu()
        component = torch.multinomial(probs, count, replacement=True, generator=random)
        sigmas = self.log_sigmas.exp().cpu()[component]
        return (self.means.cpu()[component] + sigmas * noise).float()


def kl_divergence(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mu, exp(logvar)) to N(0, 1)) of every dimension, (B, D) nats."""
    return (mu.square() + logvar.exp() - 1 - logvar) / 2
