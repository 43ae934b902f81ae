"""Training of the autoencoder; its verbs are in `trained.py`."""

from pathlib import Path

import torch
from torch import Tensor

from triform.base.seeding import generator
from triform.engine.optimizers import adamw
from triform.engine.update import Update
from triform.images.grid import save_images
from triform.systems.autoencoder.config import Config
from triform.systems.autoencoder.loss import add_noise, autoencoder_loss, quality_percent
from triform.systems.autoencoder.model import Autoencoder
from triform.systems.autoencoder.trained import Trained, evaluate, reconstruct
from triform.tasks.image_generation.image_splits import to_float, to_uint8
from triform.tasks.image_generation.system import ImageSystem

__all__ = ["System", "Trained", "evaluate", "reconstruct"]

SAMPLE_COLUMNS = 10


class System(ImageSystem[Config]):
    """Training of an autoencoder: plain, denoising or sparse."""

    name = "autoencoder"

    def __init__(self, config: Config):
        super().__init__(config)
        network = Autoencoder(config.model, self.spec)
        self.networks = {"autoencoder": network}
        self.optimizers = {"main": adamw(network.parameters(), config.training)}

    def step(self, batch: dict[str, Tensor], update: Update) -> dict[str, Tensor]:
        losses = self._losses(batch["images"], self._inputs(batch["images"]))
        update(losses["loss"])
        return losses

    def _inputs(self, images: Tensor, random: torch.Generator | None = None) -> Tensor:
        """Inputs of the network: noisy images for denoising, else the images."""
        training = self.config.training
        if training.objective != "denoising":
            return images
        return add_noise(images, training.noise_factor, random)

    def _losses(self, images: Tensor, inputs: Tensor) -> dict[str, Tensor]:
        training = self.config.training
        reconstruction, latents = self.networks["autoencoder"](inputs)
        sparsity = training.sparsity if training.objective == "sparse" else 0.0
        return autoencoder_loss(
            reconstruction, images, latents, sparsity=sparsity, error=training.error
        )

    def evaluate(self, split: str = "val") -> dict[str, float]:
        """The loss and the quality of reconstructions in percent, with the same noise each time."""
        random = generator("evaluate", split)
        images = self.splits.part(split, self.config.metrics.num_images)
        totals: dict[str, float] = {}
        for batch in torch.split(images, 500):
            clean = to_float(batch)
            inputs = self._inputs(clean, random)
            losses = self._losses(clean.to(self.device), inputs.to(self.device))
            for name, value in losses.items():
                totals[name] = totals.get(name, 0.0) + float(value) * len(batch)
        metrics = {name: total / len(images) for name, total in totals.items()}
        return {**metrics, "quality_percent": quality_percent(metrics["absolute"])}

    def sample(self, folder: Path, step: int) -> None:
        """Save validation images, inputs and reconstructions."""
        images = self.splits.part("val", SAMPLE_COLUMNS)
        inputs = self._inputs(to_float(images), generator("sample"))
        reconstruction, _ = self.networks["autoencoder"](inputs.to(self.device))
        rows = torch.cat([images, to_uint8(inputs), to_uint8(reconstruction)])
        save_images(rows.numpy(), folder / f"{step:06d}.png", len(images))
