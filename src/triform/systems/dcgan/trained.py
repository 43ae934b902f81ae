"""A trained generator, and what its verbs do with it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from triform.base.seeding import generator
from triform.datasets.picture_batches import as_pixels, real_pictures
from triform.datasets.picture_settings import EvaluatePicturesConfig, GeneratePicturesConfig
from triform.engine.checkpoint import StateDicts
from triform.engine.trained import TrainedModel
from triform.images.grid import save_pictures
from triform.layers.picture_facts import read_facts
from triform.metrics.nearest_sheet import save_beside_nearest
from triform.metrics.picture_quality import picture_quality
from triform.systems.dcgan.config import Config
from triform.systems.dcgan.model import Generator


class Trained(TrainedModel[Config]):
    """A trained generator in evaluation mode.

    Attributes:
        generator: The network.
    """

    system = "dcgan"
    config_class = Config

    def build(self, tensors: StateDicts) -> Mapping[str, nn.Module]:
        self.generator = Generator(self.config.model, read_facts(tensors["generator"]))
        return {"generator": self.generator}

    def draw(self, count: int, seed: int, batch_size: int = 100) -> Tensor:
        """New pictures (count, C, S, S) uint8."""
        z = torch.randn(count, self.config.model.latent_dim, generator=generator("generate", seed))
        return made(self.generator, z.to(self.device), batch_size)


@torch.no_grad()
def made(network: nn.Module, z: Tensor, batch_size: int = 100) -> Tensor:
    """Pictures uint8 of latent vectors (N, latent_dim)."""
    return torch.cat([as_pixels((network(part) + 1) / 2) for part in z.split(batch_size)])


def generate(settings: GeneratePicturesConfig) -> dict[str, Any]:
    """Make pictures.

    Raises:
        UserError: No such weights.
    """
    trained = Trained.choose(settings.checkpoint, settings.device)
    pictures = trained.draw(settings.num_samples, settings.seed, settings.batch_size)
    files = save_pictures(pictures.numpy(), settings.output)
    return {"checkpoint": str(trained.source), "pictures": len(pictures),
            "output": str(settings.output), "files": len(files)}  # fmt: skip


def evaluate(settings: EvaluatePicturesConfig) -> dict[str, Any]:
    """Measure made pictures against test pictures.

    Raises:
        UserError: No such weights, or the real pictures cannot be brought.
    """
    trained = Trained.choose(settings.checkpoint, settings.device)
    real = real_pictures(trained.config.data, settings, trained.config.seed)
    began = time.perf_counter()
    pictures = trained.draw(settings.num_samples, settings.seed, settings.batch_size)
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
