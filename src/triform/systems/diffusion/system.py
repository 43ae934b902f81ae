"""Wires pictures, noise, network and loss together; one function per verb."""

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
from triform.systems.diffusion.config import Config
from triform.systems.diffusion.data import training_loader
from triform.systems.diffusion.loss import diffusion_loss
from triform.systems.diffusion.model import UNet
from triform.systems.diffusion.trained import Trained, build_chain, evaluate, generate, generated

__all__ = ["System", "evaluate", "from_checkpoint", "generate", "train"]

MEASURED = 500
NUM_SAMPLES, SAMPLE_STEPS = 40, 20


class System(EngineSystem):
    """Denoising diffusion, told the class or not."""

    name = "diffusion"

    def __init__(self, config: Config):
        super().__init__(config)
        seed_everything(config.seed)  # the network's first weights
        self.config: Config = config
        pick_device(config.device)  # a wrong name is told before pictures are read
        self.pictures = Pictures(config.data, config.seed)
        self.loader = training_loader(self.pictures, config)
        self.stateful = {"loader": self.loader}
        classes = self.pictures.classes if config.model.conditional else ()
        facts = PictureFacts(*self.pictures.shape, classes if len(classes) > 1 else ())
        self.unet = UNet(config.model, facts)
        self.chain = build_chain(config.model)
        self.networks = {"unet": self.unet}
        training = config.training
        self.optimizers = {
            "main": torch.optim.AdamW(
                self.unet.parameters(), lr=training.lr, weight_decay=training.weight_decay,
                fused=True,
            )
        }  # fmt: skip

    @property
    def num_batches(self) -> int:
        return len(self.loader)

    def batches(self) -> Iterator[dict[str, Tensor]]:
        return iter(self.loader)

    def step(self, batch: dict[str, Tensor], update: Update) -> dict[str, Tensor]:
        x_0, labels = batch["images"] * 2 - 1, batch["labels"]
        t = torch.randint(len(self.chain), (len(x_0),), device=x_0.device)
        hidden = torch.rand(len(x_0), device=x_0.device) < self.config.model.label_dropout
        labels = labels.masked_fill(hidden, self.unet.num_classes)
        losses = self._losses(x_0, labels, t, torch.randn_like(x_0))
        update(losses["loss"])
        return losses

    def _losses(self, x_0: Tensor, labels: Tensor, t: Tensor, noise: Tensor) -> dict[str, Tensor]:
        x_t = self.chain.add_noise(x_0, t, noise)
        said = self.networks["unet"](x_t, t, labels if self.unet.num_classes else None)
        return diffusion_loss(said, self.chain.target(x_0, t, noise))

    def evaluate(self, split: str = "val") -> dict[str, float]:
        """The loss at fixed amounts of noise, the same noise each time."""
        rows = self.pictures.rows[split][:MEASURED]
        random = generator("evaluate", split)
        levels = torch.linspace(0, len(self.chain) - 1, self.config.metrics.levels).round().long()
        t = levels.repeat(-(-len(rows) // len(levels)))[: len(rows)]
        total = 0.0
        for numbers in torch.arange(len(rows)).split(100):
            images = as_floats(self.pictures.images[rows[numbers]]) * 2 - 1
            noise = torch.randn(images.shape, generator=random)
            batch = (images, self.pictures.labels[rows[numbers]], t[numbers], noise)
            on_device = [each.to(self.device) for each in batch]
            total += float(self._losses(*on_device)["loss"]) * len(numbers)
        return {"loss": total / len(rows)}

    def sample(self, folder: Path, step: int) -> None:
        """Pictures of every class in turn."""
        num_classes = self.unet.num_classes
        labels = torch.arange(NUM_SAMPLES) % num_classes if num_classes else None
        states = generated(
            self.unet, self.chain, self.pictures.shape, labels, NUM_SAMPLES,
            sampler="dpm", steps=min(SAMPLE_STEPS, len(self.chain)), device=self.device,
            random=generator("sample"), num_classes=num_classes,
        )  # fmt: skip
        *_, made = states
        columns = min(num_classes, 20)
        save_pictures(as_pixels((made + 1) / 2).numpy(), folder / f"{step:06d}.png", columns)


def train(config: Config) -> dict[str, Any]:
    """Train, and say where the run is and how it ended."""
    result = fit(System(config), config)
    return {"run": str(result.run_dir), **result.metrics}


def from_checkpoint(path: Path, device: str = "auto") -> Trained:
    """The trained model in a file; see `systems.from_checkpoint`."""
    return Trained(path, pick_device(device))
