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
from triform.systems.vae.config import Config
from triform.systems.vae.data import training_loader
from triform.systems.vae.loss import log_likelihood, vae_loss
from triform.systems.vae.model import Vae
from triform.systems.vae.trained import Trained, evaluate, explore, generate, interpolate

__all__ = [
    "System", "evaluate", "explore", "from_checkpoint", "generate", "interpolate", "train",
]  # fmt: skip

MEASURED = 3000
SHOWN = 10


class System(EngineSystem):
    """A variational autoencoder."""

    name = "vae"

    def __init__(self, config: Config):
        super().__init__(config)
        seed_everything(config.seed)  # the network's first weights
        self.config: Config = config
        pick_device(config.device)  # a wrong name is told before pictures are read
        self.pictures = Pictures(config.data, config.seed)
        self.loader = training_loader(self.pictures, config)
        self.num_steps = 0
        self.stateful = {"loader": self.loader, "steps": StepCount(self)}
        self.vae = Vae(config.model, PictureFacts(*self.pictures.shape))
        self.networks = {"vae": self.vae}
        training = config.training
        self.optimizers = {
            "main": torch.optim.AdamW(
                self.vae.parameters(), lr=training.lr, weight_decay=training.weight_decay,
                fused=True,
            )
        }  # fmt: skip

    @property
    def num_batches(self) -> int:
        return len(self.loader)

    def batches(self) -> Iterator[dict[str, Tensor]]:
        return iter(self.loader)

    def step(self, batch: dict[str, Tensor], update: Update) -> dict[str, Tensor]:
        training, images = self.config.training, batch["images"]
        noise = torch.randn(len(images), self.config.model.latent_dim, device=images.device)
        rising = training.kl_warmup_steps
        share = min(1.0, (self.num_steps + 1) / rising) if rising else 1.0
        losses = self._losses(images, noise, training.beta * share, training.free_bits)[0]
        update(losses["loss"])
        self.num_steps += 1
        return losses

    def _losses(
        self, images: Tensor, noise: Tensor, beta: float, free_bits: float = 0.0
    ) -> tuple[dict[str, Tensor], Tensor]:
        said, kl, mu = self.networks["vae"](images, noise)
        likelihood = log_likelihood(said, images, self.vae.log_sigma, bernoulli=self.vae.bernoulli)
        return vae_loss(likelihood, kl, beta=beta, free_bits=free_bits), mu

    def evaluate(self, split: str = "val") -> dict[str, float]:
        """The loss with the whole weight of the KL divergence, and how many units are used."""
        random, means = generator("evaluate", split), []
        totals: dict[str, float] = {}
        images = self.pictures.part(split, MEASURED)
        for part in images.split(200):
            noise = torch.randn(len(part), self.config.model.latent_dim, generator=random)
            losses, mu = self._losses(
                as_floats(part).to(self.device), noise.to(self.device), self.config.training.beta
            )
            means.append(mu)
            for name, value in losses.items():
                totals[name] = totals.get(name, 0.0) + float(value) * len(part)
        numbers = {name: total / len(images) for name, total in totals.items()}
        variance = torch.cat(means).var(0)
        numbers["active_units"] = int((variance > self.config.metrics.active_variance).sum())
        return numbers

    def sample(self, folder: Path, step: int) -> None:
        """Validation pictures above their reconstructions, then pictures out of the prior."""
        real = self.pictures.part("val", SHOWN)
        images = as_floats(real).to(self.device)
        mu, _ = self.vae.encode(images)
        again = as_pixels(self.vae.picture(self.vae.decoder(mu)))
        z = self.vae.prior.draw(4 * len(real), generator("sample"))
        drawn = as_pixels(self.vae.picture(self.vae.decoder(z.to(self.device))))
        sheet = torch.cat([real, again, drawn]).numpy()
        save_pictures(sheet, folder / f"{step:06d}.png", len(real))


class StepCount:
    """The number of steps done, as something that a checkpoint keeps."""

    def __init__(self, system: System):
        self.system = system

    def state_dict(self) -> dict[str, Any]:
        return {"num_steps": self.system.num_steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.system.num_steps = int(state["num_steps"])


def train(config: Config) -> dict[str, Any]:
    """Train, and say where the run is and how it ended."""
    result = fit(System(config), config)
    return {"run": str(result.run_dir), **result.metrics}


def from_checkpoint(path: Path, device: str = "auto") -> Trained:
    """The trained VAE in a file; see `systems.from_checkpoint`."""
    return Trained(path, pick_device(device))
