"""A trained autoencoder, and what its verbs do with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

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
from triform.systems.autoencoder.config import Config, EvaluateConfig, ReconstructConfig
from triform.systems.autoencoder.loss import quality, with_noise
from triform.systems.autoencoder.model import Autoencoder

COLUMNS = 10
MAPPED = 2000


class Trained(TrainedModel[Config]):
    """A trained autoencoder in evaluation mode.

    Attributes:
        network: The network.
        noise_factor: Noise on what it sees, as in its training.
    """

    system = "autoencoder"
    config_class = Config

    def __init__(self, path: Path, device: torch.device):
        super().__init__(path, device)
        training = self.config.training
        self.noise_factor = training.noise_factor if training.objective == "denoising" else 0.0

    def build(self, tensors: StateDicts) -> Mapping[str, nn.Module]:
        facts = read_facts(tensors["autoencoder"])
        self.network = Autoencoder(self.config.model, facts)
        return {"autoencoder": self.network}

    @torch.no_grad()
    def again(
        self, images: Tensor, noise_factor: float, seed: int, batch_size: int = 500
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What is seen and what comes back (N, C, S, S) uint8, and the codes (N, D)."""
        random = generator("reconstruct", seed)
        seen, back, codes = [], [], []
        for part in images.split(batch_size):
            given = as_floats(part)
            if noise_factor:
                given = with_noise(given, noise_factor, random)
            pictures, own = self.network(given.to(self.device))
            seen.append(as_pixels(given))
            back.append(as_pixels(pictures))
            codes.append(own.cpu())
        return torch.cat(seen), torch.cat(back), torch.cat(codes)


def _chosen(settings: ReconstructConfig | EvaluateConfig) -> tuple[Trained, Pictures]:
    trained = Trained.choose(settings.checkpoint, settings.device)
    asked = EvaluatePicturesConfig(dataset=settings.dataset, download_path=settings.download_path)
    return trained, real_pictures(trained.config.data, asked, trained.config.seed)


def reconstruct(settings: ReconstructConfig) -> dict[str, Any]:
    """Rows of pictures, of what is seen of them where that is noisy, and of what comes back.

    Raises:
        UsageError: The output is no PNG.
        UserError: No such weights or pictures.
    """
    if settings.output.suffix.lower() != ".png":
        raise UsageError(f"output: {settings.output} must be a .png")
    trained, pictures = _chosen(settings)
    noise = trained.noise_factor if settings.noise_factor < 0 else settings.noise_factor
    images = pictures.part("test", settings.num_samples)
    seen, back, _ = trained.again(images, noise, settings.seed)
    columns = min(COLUMNS, len(images))
    lines = []
    for part in torch.arange(len(images)).split(columns):
        blank = torch.full_like(images[: columns - len(part)], 255)
        for some in (images, seen, back) if noise else (images, back):
            lines += [some[part], blank]
    save_pictures(torch.cat(lines).numpy(), settings.output, columns)
    if settings.latent_map is not None:
        rows = pictures.rows["test"][:MAPPED]
        codes = trained.again(pictures.images[rows], 0.0, settings.seed)[2]
        save_latent_map(
            codes.numpy(), pictures.labels[rows].numpy(), pictures.classes, settings.latent_map
        )
    return {"checkpoint": str(trained.source), "pictures": len(images),
            "quality_percent": quality(_errors(back, images)["absolute_error"]),
            "output": str(settings.output)}  # fmt: skip


def evaluate(settings: EvaluateConfig) -> dict[str, Any]:
    """Errors of reconstructions of test pictures.

    Returns:
        `rows`: for the autoencoder, for as many principal components as the code has numbers, and
        for the mean picture: `quality_percent` (100 times 1 - mean absolute error), half the width
        of its 95 % interval over pictures,
        `absolute_error` and `squared_error` of pixels in [0, 1].

    Raises:
        UserError: No such weights or pictures.
    """
    trained, pictures = _chosen(settings)
    test, train = pictures.part("test", settings.num_samples), pictures.part("train", 20_000)
    _, back, codes = trained.again(test, trained.noise_factor, settings.seed)
    by = {"autoencoder": back, **_plain(test, train, codes.shape[1])}
    rows = []
    for name, some in by.items():
        errors = _errors(some, test)
        rows.append({"by": name, "quality_percent": quality(errors["absolute_error"]), **errors})
    return {
        "checkpoint": str(trained.source), "data": pictures.name, "pictures": len(test),
        "objective": trained.config.training.objective, "noise_factor": trained.noise_factor,
        "code": codes.shape[1],
        "nearly_zero": float((codes.abs() < 0.05 * codes.std()).float().mean()),
        "rows": rows,
    }  # fmt: skip


def _plain(test: Tensor, train: Tensor, components: int) -> dict[str, Tensor]:
    """Reconstructions by principal components of clean pictures, and by the mean picture."""
    flat, seen = train.flatten(1).float() / 255, test.flatten(1).float() / 255
    mean = flat.mean(0)
    count = min(components, *flat.shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        # Far more than are wanted: the last ones of a randomised search are not the best ones.
        _, _, directions = torch.pca_lowrank(flat, min(3 * count + 20, *flat.shape), niter=6)
    directions = directions[:, :count]
    back = mean + (seen - mean) @ directions @ directions.T
    return {
        f"{count} principal components": as_pixels(back).view_as(test),
        "mean picture": as_pixels(mean.expand_as(seen)).view_as(test),
    }


def _errors(back: Tensor, images: Tensor) -> dict[str, float]:
    apart = (back.float() - images.float()) / 255
    of_each = 100 * (1 - apart.flatten(1).abs().mean(1))
    return {
        "quality_interval95": mean_and_interval(of_each)[1],
        "absolute_error": float(apart.abs().mean()),
        "squared_error": float(apart.square().mean()),
    }
