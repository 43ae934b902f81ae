"""Trained image generators, and the verbs `generate` and `evaluate` that they share."""

import time
from abc import abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from triform.base.seeding import generator
from triform.engine.checkpoints.checkpoint import StateDicts
from triform.engine.checkpoints.trained import TrainedModel
from triform.images.grid import save_images
from triform.layers.image_spec import ImageSpec
from triform.metrics.image_quality import image_quality
from triform.tasks.image_generation.config import (
    EvaluateImagesConfig,
    GanConfig,
    GenerateImagesConfig,
    ImageSystemConfig,
    ImageVerbConfig,
)
from triform.tasks.image_generation.image_splits import ImageSplits, real_images, to_uint8
from triform.tasks.image_generation.nearest_neighbors import save_nearest_neighbors

ConfigT = TypeVar("ConfigT", bound=ImageSystemConfig)
GanConfigT = TypeVar("GanConfigT", bound=GanConfig)
VerbConfigT = TypeVar("VerbConfigT", bound=ImageVerbConfig)


class TrainedImageModel(TrainedModel[ConfigT]):
    """A trained model of images of one shape, in evaluation mode.

    Attributes:
        spec: Shape of the images, and the classes that it is conditioned on.
    """

    def build(self, tensors: StateDicts) -> Mapping[str, nn.Module]:
        self.spec = ImageSpec.from_metadata(self.metadata)
        return self.build_networks(self.spec)

    @abstractmethod
    def build_networks(self, spec: ImageSpec) -> Mapping[str, nn.Module]:
        """Build the networks of images of this shape; see `build`."""

    def real_images(self, *, dataset: str = "", download_path: str) -> ImageSplits:
        """Images in the format of the training: those of the training, or of another data set."""
        return real_images(
            self.config.data,
            self.config.seed,
            shape=self.spec.shape,
            dataset=dataset,
            download_path=download_path,
        )


class TrainedGenerator(TrainedImageModel[ConfigT], Generic[ConfigT, VerbConfigT]):
    """A trained generator of images."""

    @abstractmethod
    def generate(self, count: int, settings: VerbConfigT) -> Tensor:
        """New images (count, C, S, S) uint8."""


class TrainedGan(TrainedGenerator[GanConfigT, VerbConfigT]):
    """The generator of a GAN with one latent vector per image.

    Attributes:
        generator: From latent vectors (B, latent_dim) to images (B, C, S, S) in [-1, 1].
    """

    generator: nn.Module

    def latents(self, count: int, settings: ImageVerbConfig) -> Tensor:
        """Latent vectors (count, latent_dim) from N(0, I), by the seed of the settings."""
        random = generator("generate", settings.seed)
        z = torch.randn(count, self.config.model.latent_dim, generator=random)
        return z.to(self.device)

    def generate(self, count: int, settings: VerbConfigT) -> Tensor:
        return generate_images(self.generator, self.latents(count, settings), settings.batch_size)


@torch.no_grad()
def generate_images(
    network: Callable[[Tensor], Tensor], z: Tensor, batch_size: int = 100
) -> Tensor:
    """Images (N, C, S, S) uint8 of latents (N, D), by a network of images in [-1, 1]."""
    return torch.cat([to_uint8((network(part) + 1) / 2) for part in torch.split(z, batch_size)])


def generate(model: TrainedGenerator[Any, Any], settings: GenerateImagesConfig) -> dict[str, Any]:
    """Generate images and save them."""
    images = model.generate(settings.num_samples, settings).numpy()
    return generation_report(model, settings, save_images(images, settings.output), images)


def generation_report(
    model: TrainedGenerator[Any, Any],
    settings: GenerateImagesConfig,
    files: list[Path],
    pixels: np.ndarray,
) -> dict[str, Any]:
    """Answer of the verb `generate`; `pixels` are the images, (N, C, H, W) uint8."""
    return {
        "checkpoint": str(model.source),
        "images": settings.num_samples,
        "output": str(settings.output),
        "files": [str(file) for file in files],
        "pixels": pixels,
    }


def evaluate(model: TrainedGenerator[Any, Any], settings: EvaluateImagesConfig) -> dict[str, Any]:
    """Measure generated images against test images.

    Raises:
        UserError: The real images cannot be read.
    """
    splits = evaluation_images(model, settings)
    report = {"checkpoint": str(model.source), "data": splits.name}
    return report | measure_generated(model, settings, splits)[1]


def evaluation_images(
    model: TrainedGenerator[Any, Any], settings: EvaluateImagesConfig
) -> ImageSplits:
    """The real images that `evaluate` compares generated ones with."""
    return model.real_images(dataset=settings.dataset, download_path=settings.download_path)


def measure_generated(
    model: TrainedGenerator[Any, Any], settings: EvaluateImagesConfig, splits: ImageSplits
) -> tuple[Tensor, dict[str, Any]]:
    """Generate images and measure their quality.

    Returns:
        The images (N, C, S, S) uint8; their number, time per image and `image_quality`.
    """
    start = time.perf_counter()
    images = model.generate(settings.num_samples, settings)
    seconds = time.perf_counter() - start
    train = splits.part("train")
    if settings.output is not None:
        save_nearest_neighbors(images, train, settings.output)
    real = splits.reference("test", settings.num_samples)
    held_out = splits.part("test", settings.num_samples)
    quality = image_quality(
        images, real, train, held_out=held_out, inception_weights=settings.inception_weights
    )
    return images, {
        "images": len(images),
        "real_images": len(real),
        "milliseconds_per_image": 1000 * seconds / len(images),
        **quality,
    }
