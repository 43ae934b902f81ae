"""Wires pictures, network and loss together; one function per verb."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from triform.base.seeding import generator, seed_everything
from triform.datasets.picture_batches import Pictures, as_floats, as_pixels
from triform.engine.device import pick_device
from triform.engine.fit import fit
from triform.engine.protocol import System as EngineSystem
from triform.engine.update import Update
from triform.images.grid import save_pictures
from triform.layers.picture_facts import PictureFacts
from triform.systems.autoencoder.config import Config
from triform.systems.autoencoder.data import training_loader
from triform.systems.autoencoder.loss import autoencoder_loss, quality, with_noise
from triform.systems.autoencoder.model import Autoencoder
from triform.systems.autoencoder.trained import Trained, evaluate, reconstruct

__all__ = ["System", "evaluate", "from_checkpoint", "reconstruct", "train"]

SHOWN = 10


class System(EngineSystem):
    """An autoencoder: plain, denoising or sparse."""

    name = "autoencoder"

    def __init__(self, config: Config):
        super().__init__(config)
        seed_everything(config.seed)  # the network's first weights
        self.config: Config = config
        pick_device(config.device)  # a wrong name is told before pictures are read
        self.pictures = Pictures(config.data, config.seed)
        self.loader = training_loader(self.pictures, config)
        self.stateful = {"loader": self.loader}
        self.networks = {
            "autoencoder": Autoencoder(config.model, PictureFacts(*self.pictures.shape))
        }
        training = config.training
        self.optimizers = {
            "main": torch.optim.AdamW(
                self.networks["autoencoder"].parameters(), lr=training.lr,
                weight_decay=training.weight_decay, fused=True,
            )
        }  # fmt: skip

    @property
    def num_batches(self) -> int:
        return len(self.loader)

    def batches(self) -> Iterator[dict[str, Tensor]]:
        return iter(self.loader)

    def step(self, batch: dict[str, Tensor], update: Update) -> dict[str, Tensor]:
        losses = self._losses(batch["images"], self._seen(batch["images"]))
        update(losses["loss"])
        return losses

    def _seen(self, images: Tensor, random: torch.Generator | None = None) -> Tensor:
        """What the network is given: noisy pictures where it shall clean them."""
        training = self.config.training
        if training.objective != "denoising":
            return images
        return with_noise(images, training.noise_factor, random)

    def _losses(self, images: Tensor, seen: Tensor) -> dict[str, Tensor]:
        training = self.config.training
        again, codes = self.networks["autoencoder"](seen)
        sparsity = training.sparsity if training.objective == "sparse" else 0.0
        return autoencoder_loss(again, images, codes, sparsity=sparsity, error=training.error)

    def evaluate(self, split: str = "val") -> dict[str, float]:
        """The loss, and the quality of reconstructions in percent; the same noise each time."""
        random = generator("evaluate", split)
        images = self.pictures.part(split, self.config.metrics.num_pictures)
        totals: dict[str, float] = {}
        for part in images.split(500):
            clean = as_floats(part)
            seen = self._seen(clean, random)
            losses = self._losses(clean.to(self.device), seen.to(self.device))
            for name, value in losses.items():
                totals[name] = totals.get(name, 0.0) + float(value) * len(part)
        numbers = {name: total / len(images) for name, total in totals.items()}
        return {**numbers, "quality_percent": quality(numbers["absolute"])}

    def sample(self, folder: Path, step: int) -> None:
        """Validation pictures, what is seen of them, and what comes back."""
        images = self.pictures.part("val", SHOWN)
        seen = self._seen(as_floats(images), generator("sample"))
        again, _ = self.networks["autoencoder"](seen.to(self.device))
        rows = [images, as_pixels(seen), as_pixels(again)]
        save_pictures(torch.cat(rows).numpy(), folder / f"{step:06d}.png", len(images))


def train(config: Config) -> dict[str, Any]:
    """Train, and say where the run is and how it ended."""
    result = fit(System(config), config)
    return {"run": str(result.run_dir), **result.metrics}


def from_checkpoint(path: Path, device: str = "auto") -> Trained:
    """The trained autoencoder in a file; see `systems.from_checkpoint`."""
    return Trained(path, pick_device(device))
