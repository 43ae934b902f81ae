"""Wires pictures, two networks and their losses together; one function per verb."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from triform.base.seeding import generator, seed_everything
from triform.datasets.picture_batches import Pictures
from triform.engine.device import pick_device
from triform.engine.fit import fit
from triform.engine.protocol import System as EngineSystem
from triform.engine.update import Update
from triform.images.grid import save_pictures
from triform.layers.picture_facts import PictureFacts
from triform.losses.gan_watch import GanWatch
from triform.metrics.kernel_distance import kernel_distance
from triform.pretrained.picture_features import picture_features
from triform.systems.dcgan.config import Config
from triform.systems.dcgan.data import training_loader
from triform.systems.dcgan.loss import LAZY, of_discriminator, of_generator
from triform.systems.dcgan.model import Discriminator, Generator
from triform.systems.dcgan.trained import Trained, evaluate, generate, made

__all__ = ["System", "evaluate", "from_checkpoint", "generate", "train"]

NUM_SAMPLES = 64


class System(EngineSystem):
    """A generator against a discriminator, both convolutional."""

    name = "dcgan"
    monitor = "val/kernel_distance"

    def __init__(self, config: Config):
        super().__init__(config)
        seed_everything(config.seed)  # the networks' first weights
        self.config: Config = config
        pick_device(config.device)  # a wrong name is told before pictures are read
        self.pictures = Pictures(config.data, config.seed)
        self.loader = training_loader(self.pictures, config)
        self.watch = GanWatch()
        self.stateful = {"loader": self.loader, "watch": self.watch}
        facts = PictureFacts(*self.pictures.shape)
        self.generator = Generator(config.model, facts)
        self.networks = {
            "generator": self.generator,
            "discriminator": Discriminator(config.model, facts),
        }
        training = config.training
        rates = {
            "generator": training.lr,
            "discriminator": training.discriminator_lr or training.lr,
        }
        self.optimizers = {
            name: torch.optim.Adam(
                network.parameters(), lr=rates[name], betas=(training.beta1, training.beta2),
                weight_decay=training.weight_decay, fused=True,
            )
            for name, network in self.networks.items()
        }  # fmt: skip
        self._real_features: Tensor | None = None

    @property
    def num_batches(self) -> int:
        return len(self.loader)

    def batches(self) -> Iterator[dict[str, Tensor]]:
        return iter(self.loader)

    def step(self, batch: dict[str, Tensor], update: Update) -> dict[str, Tensor]:
        training, judge = self.config.training, self.networks["discriminator"]
        real = batch["images"] * 2 - 1
        fake = self.networks["generator"](self._noise(len(real)))
        pays = training.r1 > 0 and self.watch.steps % LAZY == 0
        real.requires_grad_(pays)
        # Real and made pictures apart: norms over a mixed batch would give them away.
        # The penalty is a gradient of a gradient, in float32 whatever the rest is in.
        with torch.autocast(real.device.type, enabled=False) if pays else nullcontext():
            real_logits = judge(real)
        fake_logits = judge(fake.detach())
        loss = of_discriminator(real_logits, fake_logits, real if pays else None, training.r1)
        update(loss, "discriminator")
        generator_loss = of_generator(judge(fake), saturating=training.saturating)
        update(generator_loss, "generator")
        seen = self.watch.look(real, fake, real_logits, fake_logits, generator_loss)
        return {"loss": loss, "discriminator": loss, "generator": generator_loss, **seen}

    def _noise(self, count: int) -> Tensor:
        return torch.randn(count, self.config.model.latent_dim, device=self.device)

    def evaluate(self, split: str = "val") -> dict[str, float]:
        """Kernel distance of made pictures to validation pictures."""
        if split == "train":
            return {}
        count = self.config.metrics.num_samples
        if self._real_features is None:
            self._real_features = picture_features(self.pictures.part("val", count))
        z = torch.randn(count, self.config.model.latent_dim, generator=generator("evaluate", split))
        features = picture_features(made(self.generator, z.to(self.device)))
        distance, deviation = kernel_distance(features, self._real_features, subsets=20)
        return {"kernel_distance": distance, "kernel_distance_std": deviation}

    def sample(self, folder: Path, step: int) -> None:
        """The same latent vectors each time."""
        z = torch.randn(NUM_SAMPLES, self.config.model.latent_dim, generator=generator("sample"))
        pictures = made(self.generator, z.to(self.device))
        save_pictures(pictures.numpy(), folder / f"{step:06d}.png")


def train(config: Config) -> dict[str, Any]:
    """Train, and say where the run is and how it ended."""
    result = fit(System(config), config)
    return {"run": str(result.run_dir), **result.metrics}


def from_checkpoint(path: Path, device: str = "auto") -> Trained:
    """The trained generator in a file; see `systems.from_checkpoint`."""
    return Trained(path, pick_device(device))
