"""A trained VAE, and its verbs."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from triform.base.seeding import generator
from triform.images.grid import check_png, save_images
from triform.images.latent_map import save_latent_map
from triform.layers.image_spec import ImageSpec
from triform.systems.vae.config import (
    Config,
    EvaluateConfig,
    ExploreConfig,
    GenerateConfig,
    InterpolateConfig,
)
from triform.systems.vae.likelihood import independent_pixels, likelihood_bounds
from triform.systems.vae.model import Vae
from triform.tasks.image_generation import generation
from triform.tasks.image_generation.image_splits import evenly_spaced, to_float, to_uint8

MAP_IMAGES = 2000
TRAVERSAL_RANGE = 3.0
"""Standard deviations of a unit in each direction."""


class Trained(generation.TrainedGenerator[Config, GenerateConfig | EvaluateConfig]):
    """A trained VAE.

    Attributes:
        vae: The network.
    """

    system = "vae"
    config_class = Config

    def build_networks(self, spec: ImageSpec) -> Mapping[str, nn.Module]:
        self.vae = Vae(self.config.model, spec)
        return {"vae": self.vae}

    @torch.no_grad()
    def decode(self, z: Tensor, batch_size: int = 100) -> Tensor:
        """Images (N, C, S, S) uint8 of latents (N, D)."""
        batches = torch.split(z.to(self.device), batch_size)
        return torch.cat([to_uint8(self.vae.decode(batch)) for batch in batches])

    @torch.no_grad()
    def encode(self, images: Tensor, batch_size: int = 100) -> tuple[Tensor, Tensor]:
        """Mean and log variance (N, D) of the latents of images (N, C, S, S) uint8."""
        batches = torch.split(images, batch_size)
        outputs = [self.vae.encode(to_float(batch).to(self.device)) for batch in batches]
        mu, logvar = zip(*outputs, strict=True)
        return torch.cat(mu).cpu(), torch.cat(logvar).cpu()

    def generate(self, count: int, settings: GenerateConfig | EvaluateConfig) -> Tensor:
        temperature = settings.temperature if isinstance(settings, GenerateConfig) else 1.0
        z = self.vae.prior.sample(count, generator("generate", settings.seed), temperature)
        return self.decode(z, settings.batch_size)


def generate(settings: GenerateConfig) -> dict[str, Any]:
    """Generate images from samples of the prior.

    Raises:
        UserError: No such weights.
    """
    return generation.generate(Trained.choose(settings.checkpoint, settings.device), settings)


def interpolate(settings: InterpolateConfig) -> dict[str, Any]:
    """Save rows of interpolations in latent space between pairs of test images.

    Raises:
        UsageError: The output is no PNG.
        UserError: No such weights or images.
    """
    check_png(settings.output)
    model = Trained.choose(settings.checkpoint, settings.device)
    test = model.real_images(download_path=settings.download_path).part("test")
    random = generator("interpolate", settings.seed)
    ends = test[torch.randint(len(test), (2 * settings.pairs,), generator=random)]
    z_first, z_last = model.encode(ends)[0].chunk(2)
    weight = torch.linspace(0, 1, settings.steps)[:, None]
    cells = []
    for index, (first, last) in enumerate(zip(*ends.chunk(2), strict=True)):
        z = z_first[index] + weight * (z_last[index] - z_first[index])
        cells += [first[None], model.decode(z), last[None]]
    pixels = torch.cat(cells).numpy()
    save_images(pixels, settings.output, settings.steps + 2)
    return {
        "checkpoint": str(model.source),
        "pairs": settings.pairs,
        "output": str(settings.output),
        "pixels": pixels,
    }


def explore(settings: ExploreConfig) -> dict[str, Any]:
    """Save traversals of the most informative latent units, from one test image.

    Raises:
        UsageError: The output is no PNG.
        UserError: No such weights or images.
    """
    check_png(settings.output)
    model = Trained.choose(settings.checkpoint, settings.device)
    splits = model.real_images(download_path=settings.download_path)
    mu, logvar = model.encode(splits.part("test", MAP_IMAGES))
    # Mean and deviation of the aggregate posterior: a mixture prior puts latents anywhere.
    mean, std = mu.mean(0), (mu.var(0) + logvar.exp().mean(0)).sqrt()
    nats = std.log() - logvar.mean(0) / 2  # KL to the normal of all latents: information of a unit
    order = nats.argsort(descending=True)[: settings.units]
    start = mu[int(torch.randint(len(mu), (), generator=generator("explore", settings.seed)))]
    z = start.repeat(len(order), settings.steps, 1)
    offsets = torch.linspace(-TRAVERSAL_RANGE, TRAVERSAL_RANGE, settings.steps)
    for row, unit in enumerate(order.tolist()):
        z[row, :, unit] = mean[unit] + offsets * std[unit]
    pixels = model.decode(z.flatten(0, 1)).numpy()
    save_images(pixels, settings.output, settings.steps)
    if settings.latent_map is not None:
        labels = splits.labels[evenly_spaced(splits.rows["test"], len(mu))]
        save_latent_map(mu.numpy(), labels.numpy(), splits.classes, settings.latent_map)
    return {
        "checkpoint": str(model.source),
        "units": order.tolist(),
        "nats": [round(value, 3) for value in nats[order].tolist()],
        "output": str(settings.output),
        "pixels": pixels,
    }


def evaluate(settings: EvaluateConfig) -> dict[str, Any]:
    """Measure bounds on the likelihood of test images, and the quality of generated ones.

    Raises:
        UserError: No such weights, or the real images cannot be read.
    """
    model = Trained.choose(settings.checkpoint, settings.device)
    splits = generation.evaluation_images(model, settings)
    test = splits.part("test", settings.num_samples)
    bounds = likelihood_bounds(
        model.vae,
        test,
        settings,
        active_variance=model.config.metrics.active_variance,
        device=model.device,
    )
    bounds["independent_pixels"] = independent_pixels(
        splits.part("train"), test, bernoulli=model.vae.bernoulli
    )
    _, quality = generation.measure_generated(model, settings, splits)
    return {
        "checkpoint": str(model.source),
        "data": splits.name,
        "likelihood": model.config.model.likelihood,
        **bounds,
        **quality,
    }
