"""A trained autoencoder, and its verbs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from triform.base.seeding import generator
from triform.images.grid import check_png, save_row_groups
from triform.images.latent_map import save_latent_map
from triform.layers.image_spec import ImageSpec
from triform.metrics.intervals import mean_and_interval
from triform.systems.autoencoder.config import Config, EvaluateConfig, ReconstructConfig
from triform.systems.autoencoder.loss import add_noise, quality_percent
from triform.systems.autoencoder.model import Autoencoder
from triform.tasks.image_generation.generation import TrainedImageModel
from triform.tasks.image_generation.image_splits import to_float, to_uint8

COLUMNS = 10
MAP_IMAGES = 2000
PCA_IMAGES = 20_000


class Trained(TrainedImageModel[Config]):
    """A trained autoencoder.

    Attributes:
        autoencoder: The network.
        noise_factor: Noise of its inputs in training.
    """

    system = "autoencoder"
    config_class = Config

    def __init__(self, path: Path, device: torch.device):
        super().__init__(path, device)
        training = self.config.training
        self.noise_factor = training.noise_factor if training.objective == "denoising" else 0.0

    def build_networks(self, spec: ImageSpec) -> Mapping[str, nn.Module]:
        self.autoencoder = Autoencoder(self.config.model, spec)
        return {"autoencoder": self.autoencoder}

    @torch.no_grad()
    def reconstruct(
        self, images: Tensor, noise_factor: float, seed: int, batch_size: int = 500
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs and reconstructions (N, C, S, S) uint8, and latents (N, D), of uint8 images."""
        random = generator("reconstruct", seed)
        batches = []
        for part in torch.split(images, batch_size):
            inputs = to_float(part)
            if noise_factor:
                inputs = add_noise(inputs, noise_factor, random)
            reconstruction, latents = self.autoencoder(inputs.to(self.device))
            batches.append((to_uint8(inputs), to_uint8(reconstruction), latents.cpu()))
        inputs, reconstructions, latents = map(torch.cat, zip(*batches, strict=True))
        return inputs, reconstructions, latents


def reconstruct(settings: ReconstructConfig) -> dict[str, Any]:
    """Save rows of test images, of noisy inputs if there is noise, and of reconstructions.

    Raises:
        UsageError: The output is no PNG.
        UserError: No such weights or images.
    """
    check_png(settings.output)
    model = Trained.choose(settings.checkpoint, settings.device)
    splits = model.real_images(dataset=settings.dataset, download_path=settings.download_path)
    noise = model.noise_factor if settings.noise_factor < 0 else settings.noise_factor
    images = splits.part("test", settings.num_samples)
    inputs, reconstructions, _ = model.reconstruct(images, noise, settings.seed)
    shown = (images, inputs, reconstructions) if noise else (images, reconstructions)
    columns = min(COLUMNS, len(images))
    save_row_groups([part.numpy() for part in shown], settings.output, columns)
    if settings.latent_map is not None:
        rows = splits.rows["test"][:MAP_IMAGES]
        _, _, latents = model.reconstruct(splits.images[rows], 0.0, settings.seed)
        labels = splits.labels[rows].numpy()
        save_latent_map(latents.numpy(), labels, splits.classes, settings.latent_map)
    return {
        "checkpoint": str(model.source),
        "images": len(images),
        "quality_percent": _errors(reconstructions, images)["quality_percent"],
        "output": str(settings.output),
        "pixels": reconstructions.numpy(),
    }


def evaluate(settings: EvaluateConfig) -> dict[str, Any]:
    """Measure errors of reconstructions of test images.

    Returns:
        `rows`: for the autoencoder, for as many principal components as the latents have
        dimensions, and for the mean image: `quality_percent` (100 times 1 - mean absolute error),
        half the width of its 95 % interval over images, `absolute_error` and `squared_error` of
        pixels in [0, 1].

    Raises:
        UserError: No such weights or images.
    """
    model = Trained.choose(settings.checkpoint, settings.device)
    splits = model.real_images(dataset=settings.dataset, download_path=settings.download_path)
    test, train = splits.part("test", settings.num_samples), splits.part("train", PCA_IMAGES)
    _, reconstructions, latents = model.reconstruct(test, model.noise_factor, settings.seed)
    methods = {"autoencoder": reconstructions, **_baselines(test, train, latents.shape[1])}
    return {
        "checkpoint": str(model.source),
        "data": splits.name,
        "images": len(test),
        "objective": model.config.training.objective,
        "noise_factor": model.noise_factor,
        "latent_dim": latents.shape[1],
        "nearly_zero": float((latents.abs() < 0.05 * latents.std()).float().mean()),
        "rows": [{"by": name, **_errors(images, test)} for name, images in methods.items()],
    }


def _baselines(test: Tensor, train: Tensor, num_components: int) -> dict[str, Tensor]:
    """Reconstructions by principal components of clean images, and by the mean image."""
    data, inputs = train.flatten(1).float() / 255, test.flatten(1).float() / 255
    mean = data.mean(0)
    count = min(num_components, *data.shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        # Oversampled: the last components of a randomised search are not accurate.
        _, _, components = torch.pca_lowrank(data, min(3 * count + 20, *data.shape), niter=6)
    components = components[:, :count]
    reconstructions = mean + (inputs - mean) @ components @ components.T
    return {
        f"{count} principal components": to_uint8(reconstructions).view_as(test),
        "mean image": to_uint8(mean.expand_as(inputs)).view_as(test),
    }


def _errors(reconstructions: Tensor, images: Tensor) -> dict[str, float]:
    difference = (reconstructions.float() - images.float()) / 255
    absolute_error = float(difference.abs().mean())
    quality_of_images = 100 * (1 - difference.flatten(1).abs().mean(1))
    return {
        "quality_percent": quality_percent(absolute_error),
        "quality_interval95": mean_and_interval(quality_of_images)[1],
        "absolute_error": absolute_error,
        "squared_error": float(difference.square().mean()),
    }
