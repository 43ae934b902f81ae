"""A trained VAE, and what its verbs do with it."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from triform.base.errors import UsageError
from triform.base.seeding import generator
from triform.datasets.picture_batches import Pictures, as_floats, as_pixels, real_pictures
from triform.datasets.picture_settings import EvaluatePicturesConfig
from triform.engine.checkpoint import StateDicts
from triform.engine.trained import TrainedModel
from triform.images.grid import save_pictures
from triform.images.latent_map import save_latent_map
from triform.layers.picture_facts import read_facts
from triform.metrics.intervals import mean_and_interval
from triform.metrics.nearest_sheet import save_beside_nearest
from triform.metrics.picture_quality import picture_quality
from triform.systems.vae.config import (
    Config,
    EvaluateConfig,
    ExploreConfig,
    GenerateConfig,
    InterpolateConfig,
)
from triform.systems.vae.loss import importance_weighted, log_likelihood
from triform.systems.vae.model import Vae

MAPPED = 2000
REACH = 3.0
INDEPENDENT_PICTURES = 20_000


class Trained(TrainedModel[Config]):
    """A trained VAE in evaluation mode.

    Attributes:
        network: The network.
    """

    system = "vae"
    config_class = Config

    def build(self, tensors: StateDicts) -> Mapping[str, nn.Module]:
        self.network = Vae(self.config.model, read_facts(tensors["vae"]))
        return {"vae": self.network}

    @torch.no_grad()
    def decode(self, codes: Tensor, batch_size: int = 100) -> Tensor:
        """Pictures (N, C, S, S) uint8 of codes (N, D)."""
        network, parts = self.network, codes.to(self.device).split(batch_size)
        return torch.cat([as_pixels(network.picture(network.decoder(part))) for part in parts])

    @torch.no_grad()
    def encode(self, images: Tensor, batch_size: int = 100) -> tuple[Tensor, Tensor]:
        """Mean and log variance (N, D) of pictures (N, C, S, S) uint8."""
        both = [self.network.encode(as_floats(part).to(self.device))
                for part in images.split(batch_size)]  # fmt: skip
        mu, logvar = zip(*both, strict=True)
        return torch.cat(mu).cpu(), torch.cat(logvar).cpu()

    def draw(self, count: int, seed: int, batch_size: int = 100, temperature: float = 1) -> Tensor:
        """New pictures (count, C, S, S) uint8."""
        codes = self.network.prior.draw(count, generator("generate", seed), temperature)
        return self.decode(codes, batch_size)


def _test_pictures(trained: Trained, download_path: str) -> Pictures:
    asked = EvaluatePicturesConfig(download_path=download_path)
    return real_pictures(trained.config.data, asked, trained.config.seed)


def _must_be_png(output: Path) -> None:
    if output.suffix.lower() != ".png":
        raise UsageError(f"output: {output} must be a .png")


def generate(settings: GenerateConfig) -> dict[str, Any]:
    """Make pictures from codes of the prior.

    Raises:
        UserError: No such weights.
    """
    trained = Trained.choose(settings.checkpoint, settings.device)
    made = trained.draw(
        settings.num_samples, settings.seed, settings.batch_size, settings.temperature
    )
    files = save_pictures(made.numpy(), settings.output)
    return {"checkpoint": str(trained.source), "pictures": len(made),
            "output": str(settings.output), "files": len(files)}  # fmt: skip


def interpolate(settings: InterpolateConfig) -> dict[str, Any]:
    """Rows of pictures between two test pictures each, which stand at the ends.

    Raises:
        UsageError: The output is no PNG.
        UserError: No such weights or pictures.
    """
    _must_be_png(settings.output)
    trained = Trained.choose(settings.checkpoint, settings.device)
    test = _test_pictures(trained, settings.download_path).part("test")
    random = generator("interpolate", settings.seed)
    ends = test[torch.randint(len(test), (2 * settings.pairs,), generator=random)]
    first, last = trained.encode(ends)[0].chunk(2)
    share = torch.linspace(0, 1, settings.steps)[:, None]
    rows = []
    for number in range(settings.pairs):
        between = trained.decode(first[number] + share * (last[number] - first[number]))
        both = ends[number][None], ends[settings.pairs + number][None]
        rows.append(torch.cat([both[0], between, both[1]]))
    save_pictures(torch.cat(rows).numpy(), settings.output, settings.steps + 2)
    return {"checkpoint": str(trained.source), "pairs": settings.pairs,
            "output": str(settings.output)}  # fmt: skip


def explore(settings: ExploreConfig) -> dict[str, Any]:
    """What each of the units that matter most does to one test picture.

    Raises:
        UsageError: The output is no PNG.
        UserError: No such weights or pictures.
    """
    _must_be_png(settings.output)
    trained = Trained.choose(settings.checkpoint, settings.device)
    pictures = _test_pictures(trained, settings.download_path)
    test = pictures.part("test", MAPPED)
    mu, logvar = trained.encode(test)
    # Where codes lie, whatever the prior is: a mixture puts them where it likes.
    centre, spread = mu.mean(0), (mu.var(0) + logvar.exp().mean(0)).sqrt()
    nats = spread.log() - logvar.mean(0) / 2  # KL to the normal of all codes: what a unit tells
    order = nats.argsort(descending=True)[: settings.units]
    start = mu[int(torch.randint(len(mu), (), generator=generator("explore", settings.seed)))]
    codes = start.repeat(len(order), settings.steps, 1)
    values = torch.linspace(-REACH, REACH, settings.steps)
    for row, unit in enumerate(order.tolist()):
        codes[row, :, unit] = centre[unit] + values * spread[unit]
    save_pictures(trained.decode(codes.flatten(0, 1)).numpy(), settings.output, settings.steps)
    if settings.latent_map is not None:
        rows = pictures.rows["test"]
        rows = rows[torch.linspace(0, len(rows) - 1, len(mu)).round().long()]
        save_latent_map(
            mu.numpy(), pictures.labels[rows].numpy(), pictures.classes, settings.latent_map
        )
    return {"checkpoint": str(trained.source), "units": order.tolist(),
            "nats": [round(value, 3) for value in nats[order].tolist()],
            "output": str(settings.output)}  # fmt: skip


def evaluate(settings: EvaluateConfig) -> dict[str, Any]:
    """Bounds on the likelihood of test pictures, and quality of made ones.

    Raises:
        UserError: No such weights, or the real pictures cannot be brought.
    """
    trained = Trained.choose(settings.checkpoint, settings.device)
    pictures = real_pictures(trained.config.data, settings, trained.config.seed)
    test, train = pictures.part("test", settings.num_samples), pictures.part("train")
    bounds = likelihood_bounds(trained, test, settings)
    bounds["independent_pixels"] = independent_pixels(
        train, test, bernoulli=trained.network.bernoulli
    )
    began = time.perf_counter()
    made = trained.draw(settings.num_samples, settings.seed, settings.batch_size)
    seconds = time.perf_counter() - began
    if settings.output is not None:
        save_beside_nearest(made, train, settings.output)
    return {
        "checkpoint": str(trained.source), "data": pictures.name,
        "likelihood": trained.config.model.likelihood, **bounds, "pictures": len(made),
        "milliseconds_per_picture": 1000 * seconds / len(made),
        **picture_quality(made, test, train, inception_weights=settings.inception_weights),
    }  # fmt: skip


def independent_pixels(train: Tensor, test: Tensor, *, bernoulli: bool) -> float:
    """The baseline of the bounds: -log p(x) in nats where each pixel has a distribution of its own.

    Args:
        train: (K, C, H, W) uint8, whose mean (and deviation, gaussian) each pixel has.
        test: (M, C, H, W) uint8.
        bernoulli: which likelihood.
    """
    known = as_floats(train[:: max(1, len(train) // INDEPENDENT_PICTURES)])
    mean, sigma = known.mean(0), known.std(0).clamp(min=1 / 255)
    said = torch.logit(mean, eps=1e-4) if bernoulli else mean
    return -float(
        torch.cat(
            [log_likelihood(said.expand_as(images), images, sigma.log(), bernoulli=bernoulli)
             for images in map(as_floats, test.split(1000))]
        ).double().mean()
    )  # fmt: skip


@torch.no_grad()
def likelihood_bounds(trained: Trained, test: Tensor, settings: EvaluateConfig) -> dict[str, Any]:
    """-ELBO with its parts, the importance-weighted bound, and active units; nats per picture."""
    network = trained.network
    random = generator("bounds", settings.seed)

    def joint(images: Tensor, mu: Tensor, logvar: Tensor) -> tuple[Tensor, ...]:
        """log p(x given z), log p(z), log q(z given x), KL, by one code of each picture."""
        noise = torch.randn(mu.shape, generator=random).to(mu)
        z = mu + (logvar / 2).exp() * noise
        likelihood = log_likelihood(
            network.decoder(z), images, network.log_sigma, bernoulli=network.bernoulli
        )
        constant = mu.shape[1] * math.log(2 * math.pi)
        posterior = -((noise.square() + logvar).sum(1) + constant) / 2
        return likelihood, network.prior.log_density(z), posterior, network.prior.kl(mu, logvar, z)

    sums, means, bounds = torch.zeros(2, dtype=torch.float64), [], []
    for part in tqdm(test.split(settings.batch_size), "bounds", disable=None, leave=False):
        images = as_floats(part).to(trained.device)
        mu, logvar = network.encode(images)
        means.append(mu)
        likelihood, _, _, divergence = joint(images, mu, logvar)
        sums[0] -= likelihood.sum().double().cpu()
        sums[1] += divergence.sum().double().cpu()
        bounds.append((divergence.sum(1) - likelihood).cpu())
    reconstruction, kl = (sums / len(test)).tolist()
    tighter = []
    for part in test[:: max(1, len(test) // settings.importance_pictures)].split(50):
        images = as_floats(part).to(trained.device)
        mu, logvar = network.encode(images)
        drawn = [joint(images, mu, logvar) for _ in range(settings.importance_samples)]
        likelihood, prior, posterior, _ = (torch.stack(each) for each in zip(*drawn, strict=True))
        tighter.append(importance_weighted(likelihood + prior, posterior))
    active = torch.cat(means).var(0) > trained.config.metrics.active_variance
    return {
        "negative_elbo": reconstruction + kl,
        "negative_elbo_interval95": mean_and_interval(torch.cat(bounds))[1],
        "reconstruction": reconstruction,
        "kl": kl,
        f"importance_weighted_{settings.importance_samples}": -float(torch.cat(tighter).mean()),
        "active_units": int(active.sum()),
    }
