"""Training of the VAE; its verbs are in `trained.py`."""

from pathlib import Path

import torch
from torch import Tensor

from triform.base.seeding import generator
from triform.engine.optimizers import adamw
from triform.engine.update import Update
from triform.images.grid import save_images
from triform.systems.vae.config import Config
from triform.systems.vae.loss import log_likelihood, vae_loss
from triform.systems.vae.model import Vae
from triform.systems.vae.trained import Trained, evaluate, explore, generate, interpolate
from triform.tasks.image_generation.image_splits import to_float, to_uint8
from triform.tasks.image_generation.system import ImageSystem

__all__ = ["System", "Trained", "evaluate", "explore", "generate", "interpolate"]

EVALUATION_IMAGES = 3000
SAMPLE_COLUMNS = 10


class System(ImageSystem[Config]):
    """Training of a variational autoencoder."""

    name = "vae"

    def __init__(self, config: Config):
        super().__init__(config)
        self.loss_values = self.spec.channels * self.spec.size**2
        self.vae = Vae(config.model, self.spec)
        self.networks = {"vae": self.vae}
        self.optimizers = {"main": adamw(self.vae.parameters(), config.training)}

    def step(self, batch: dict[str, Tensor], update: Update) -> dict[str, Tensor]:
        training, images = self.config.training, batch["images"]
        noise = torch.randn(len(images), self.config.model.latent_dim, device=images.device)
        warmup = training.kl_warmup_steps
        beta = training.beta * (min(1.0, (self.num_steps + 1) / warmup) if warmup else 1.0)
        losses, _ = self._losses(images, noise, beta, training.free_bits)
        update(losses["loss"])
        return losses

    def _losses(
        self, images: Tensor, noise: Tensor, beta: float, free_bits: float = 0.0
    ) -> tuple[dict[str, Tensor], Tensor]:
        output, kl, mu = self.networks["vae"](images, noise)
        log_likelihoods = log_likelihood(
            output, images, self.vae.log_sigma, bernoulli=self.vae.bernoulli
        )
        return vae_loss(log_likelihoods, kl, beta=beta, free_bits=free_bits), mu

    def evaluate(self, split: str = "val") -> dict[str, float]:
        """The loss with the full weight of the KL divergence, and the number of active units."""
        random, means = generator("evaluate", split), []
        totals: dict[str, float] = {}
        images = self.splits.part(split, EVALUATION_IMAGES)
        for batch in torch.split(images, 200):
            noise = torch.randn(len(batch), self.config.model.latent_dim, generator=random)
            losses, mu = self._losses(
                to_float(batch).to(self.device), noise.to(self.device), self.config.training.beta
            )
            means.append(mu)
            for name, value in losses.items():
                totals[name] = totals.get(name, 0.0) + float(value) * len(batch)
        metrics = {name: total / len(images) for name, total in totals.items()}
        variance = torch.cat(means).var(0)
        metrics["active_units"] = int((variance > self.config.metrics.active_variance).sum())
        return metrics

    def sample(self, folder: Path, step: int) -> None:
        """Save validation images above their reconstructions, then samples of the prior."""
        images = self.splits.part("val", SAMPLE_COLUMNS)
        mu, _ = self.vae.encode(to_float(images).to(self.device))
        z = self.vae.prior.sample(4 * len(images), generator("sample"))
        decoded = [to_uint8(self.vae.decode(latents)) for latents in (mu, z.to(self.device))]
        save_images(torch.cat([images, *decoded]).numpy(), folder / f"{step:06d}.png", len(images))
