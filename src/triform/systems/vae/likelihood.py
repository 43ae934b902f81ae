"""Bounds on the likelihood of test images, and the baseline of independent pixels."""

import math

import torch
from torch import Tensor

from triform.base.progress import progress_bar
from triform.base.seeding import generator
from triform.metrics.intervals import mean_and_interval
from triform.systems.vae.config import EvaluateConfig
from triform.systems.vae.loss import importance_weighted_bound, log_likelihood
from triform.systems.vae.model import Vae
from triform.tasks.image_generation.image_splits import to_float

BASELINE_IMAGES = 20_000
IMPORTANCE_BATCH = 50


@torch.no_grad()
def likelihood_bounds(
    vae: Vae,
    images: Tensor,
    settings: EvaluateConfig,
    *,
    active_variance: float,
    device: torch.device,
) -> dict[str, float]:
    """Negative ELBO with its parts, importance-weighted bound, and active units.

    Args:
        vae: The network.
        images: Test images (N, C, S, S) uint8.
        settings: Seed, batch size, and latents and images of the importance-weighted bound.
        active_variance: A unit is active if its mean varies more over the images.
        device: Where the network is.

    Returns:
        Bounds in nats per image.
    """
    random = generator("bounds", settings.seed)

    def sample_terms(batch: Tensor, mu: Tensor, logvar: Tensor) -> tuple[Tensor, ...]:
        """log p(x given z), log p(z), log q(z given x) and KL, for one latent of each image."""
        noise = torch.randn(mu.shape, generator=random).to(mu)
        z = mu + (logvar / 2).exp() * noise
        likelihood = log_likelihood(vae.decoder(z), batch, vae.log_sigma, bernoulli=vae.bernoulli)
        constant = mu.shape[1] * math.log(2 * math.pi)
        posterior = -((noise.square() + logvar).sum(1) + constant) / 2
        return likelihood, vae.prior.log_prob(z), posterior, vae.prior.kl(mu, logvar, z)

    totals, means, bounds = torch.zeros(2, dtype=torch.float64), [], []
    for part in progress_bar(torch.split(images, settings.batch_size), desc="bounds"):
        batch = to_float(part).to(device)
        mu, logvar = vae.encode(batch)
        means.append(mu)
        likelihood, _, _, kl = sample_terms(batch, mu, logvar)
        totals[0] -= likelihood.sum().double().cpu()
        totals[1] += kl.sum().double().cpu()
        bounds.append((kl.sum(1) - likelihood).cpu())
    reconstruction, mean_kl = (totals / len(images)).tolist()
    importance_weighted = []
    subset = images[:: max(1, len(images) // settings.importance_images)]
    for part in torch.split(subset, IMPORTANCE_BATCH):
        batch = to_float(part).to(device)
        mu, logvar = vae.encode(batch)
        samples = [sample_terms(batch, mu, logvar) for _ in range(settings.importance_samples)]
        likelihood, prior, posterior, _ = (
            torch.stack(terms) for terms in zip(*samples, strict=True)
        )
        importance_weighted.append(importance_weighted_bound(likelihood + prior, posterior))
    bound_name = f"importance_weighted_{settings.importance_samples}"
    return {
        "negative_elbo": reconstruction + mean_kl,
        "negative_elbo_interval95": mean_and_interval(torch.cat(bounds))[1],
        "reconstruction": reconstruction,
        "kl": mean_kl,
        bound_name: -float(torch.cat(importance_weighted).mean()),
        "active_units": int((torch.cat(means).var(0) > active_variance).sum()),
    }


def independent_pixels(train: Tensor, test: Tensor, *, bernoulli: bool) -> float:
    """Baseline of the bounds: -log p(x) in nats with one distribution of each pixel.

    Args:
        train: (K, C, H, W) uint8, whose mean (and standard deviation, gaussian) each pixel has.
        test: (M, C, H, W) uint8.
        bernoulli: Which likelihood.
    """
    images = to_float(train[:: max(1, len(train) // BASELINE_IMAGES)])
    mean, sigma = images.mean(0), images.std(0).clamp(min=1 / 255)
    output = torch.logit(mean, eps=1e-4) if bernoulli else mean
    log_likelihoods = [
        log_likelihood(output.expand_as(batch), batch, sigma.log(), bernoulli=bernoulli)
        for batch in map(to_float, torch.split(test, 1000))
    ]
    return -float(torch.cat(log_likelihoods).double().mean())
