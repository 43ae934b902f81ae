"""A trained generator, and what its verbs do with it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from triform.base.errors import UsageError
from triform.base.seeding import generator
from triform.datasets.picture_batches import as_pixels, real_pictures
from triform.engine.checkpoint import StateDicts
from triform.engine.trained import TrainedModel
from triform.images.grid import save_pictures
from triform.layers.picture_facts import read_facts
from triform.metrics.nearest_sheet import save_beside_nearest
from triform.metrics.picture_quality import picture_quality
from triform.systems.style_gan.config import Config, EvaluateConfig, GenerateConfig, MixConfig
from triform.systems.style_gan.model import Generator


class Trained(TrainedModel[Config]):
    """A trained generator in evaluation mode.

    Attributes:
        generator: The network.
    """

    system = "style_gan"
    config_class = Config

    def build(self, tensors: StateDicts) -> Mapping[str, nn.Module]:
        self.generator = Generator(self.config.model, read_facts(tensors["generator"]))
        return {"generator": self.generator}

    def draw(self, count: int, settings: GenerateConfig | EvaluateConfig) -> Tensor:
        """New pictures (count, C, S, S) uint8."""
        torch.manual_seed(settings.seed)  # the noise of every place
        z = torch.randn(
            count, self.config.model.latent_dim, generator=generator("generate", settings.seed)
        )
        return made(self.generator, z.to(self.device), settings.batch_size, settings.truncation)

    @torch.no_grad()
    def mixed(self, settings: MixConfig) -> Tensor:
        """The table (rows + 1, columns + 1, C, S, S) uint8; its corner is white."""
        network = self.generator
        torch.manual_seed(settings.seed)
        z = torch.randn(
            settings.rows + settings.columns, self.config.model.latent_dim,
            generator=generator("mix", settings.seed),
        )  # fmt: skip
        w = network.truncated(network.mapping(z.to(self.device)), settings.truncation)
        each = w[:, None].expand(-1, network.num_layers, -1)
        coarse, fine = each[: settings.rows], each[settings.rows :]
        crossover = settings.crossover or (network.num_layers + 1) // 2
        crossed = torch.stack([coarse] * settings.columns, 1).clone()
        crossed[:, :, crossover:] = fine[None, :, crossover:]
        pictures = [
            as_pixels((network.synthesize(styles) + 1) / 2) for styles in (coarse, fine, *crossed)
        ]
        corner = torch.full_like(pictures[0][:1], 255)
        top = torch.cat([corner, pictures[1]])
        lines = [
            torch.cat([own[None], line])
            for own, line in zip(pictures[0], pictures[2:], strict=True)
        ]
        return torch.stack([top, *lines])


@torch.no_grad()
def made(network: Generator, z: Tensor, batch_size: int = 100, truncation: float = 1.0) -> Tensor:
    """Pictures uint8 of latent vectors (N, latent_dim)."""
    pictures = []
    for part in z.split(batch_size):
        w = network.truncated(network.mapping(part), truncation)
        images = network.synthesize(w[:, None].expand(-1, network.num_layers, -1))
        pictures.append(as_pixels((images + 1) / 2))
    return torch.cat(pictures)


def generate(settings: GenerateConfig) -> dict[str, Any]:
    """Make pictures.

    Raises:
        UserError: No such weights.
    """
    trained = Trained.choose(settings.checkpoint, settings.device)
    pictures = trained.draw(settings.num_samples, settings)
    files = save_pictures(pictures.numpy(), settings.output)
    return {"checkpoint": str(trained.source), "pictures": len(pictures),
            "output": str(settings.output), "files": len(files)}  # fmt: skip


def mix(settings: MixConfig) -> dict[str, Any]:
    """Cross coarse with fine styles.

    Raises:
        UsageError: The crossover lies behind the last layer.
        UserError: No such weights.
    """
    trained = Trained.choose(settings.checkpoint, settings.device)
    if settings.crossover >= (layers := trained.generator.num_layers):
        raise UsageError(f"crossover: {settings.crossover}, but there are layers 0 to {layers - 1}")
    if settings.output.suffix.lower() != ".png":
        raise UsageError(f"output: {settings.output} must be a .png")
    table = trained.mixed(settings)
    save_pictures(table.flatten(0, 1).numpy(), settings.output, table.shape[1])
    return {"checkpoint": str(trained.source), "rows": settings.rows,
            "columns": settings.columns, "output": str(settings.output)}  # fmt: skip


def evaluate(settings: EvaluateConfig) -> dict[str, Any]:
    """Measure made pictures against test pictures.

    Raises:
        UserError: No such weights, or the real pictures cannot be brought.
    """
    trained = Trained.choose(settings.checkpoint, settings.device)
    real = real_pictures(trained.config.data, settings, trained.config.seed)
    began = time.perf_counter()
    pictures = trained.draw(settings.num_samples, settings)
    seconds = time.perf_counter() - began
    train = real.part("train")
    if settings.output is not None:
        save_beside_nearest(pictures, train, settings.output)
    test = real.part("test", settings.num_samples)
    return {
        "checkpoint": str(trained.source), "data": real.name, "pictures": len(pictures),
        "milliseconds_per_picture": 1000 * seconds / len(pictures),
        **picture_quality(pictures, test, train, inception_weights=settings.inception_weights),
    }  # fmt: skip
