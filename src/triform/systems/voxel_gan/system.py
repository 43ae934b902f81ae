"""Wires data, networks and losses together; one function per verb."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from triform.base.seeding import seed_everything
from triform.engine.device import pick_device
from triform.engine.fit import fit
from triform.engine.protocol import System as EngineSystem
from triform.engine.sampler import EpochLoader
from triform.engine.update import Update
from triform.metrics.voxel import voxel_iou
from triform.pretrained.text_encoder import load_text_encoder
from triform.systems.voxel_gan.analysis import analyze
from triform.systems.voxel_gan.config import Config
from triform.systems.voxel_gan.data import Objects, VoxelBatches, load_objects
from triform.systems.voxel_gan.evaluation import evaluate
from triform.systems.voxel_gan.filing import FileByIoU
from triform.systems.voxel_gan.generation import generate
from triform.systems.voxel_gan.judge import train_judge
from triform.systems.voxel_gan.loss import (
    adversarial_loss,
    binarize,
    discriminator_loss,
    flow_loss,
    vae_loss,
)
from triform.systems.voxel_gan.model import (
    build_cvae,
    build_discriminator,
    build_prior,
    decoder_condition,
    width_scaled,
)
from triform.systems.voxel_gan.pictures import draw_reconstructions
from triform.systems.voxel_gan.prior import FlowPrior
from triform.systems.voxel_gan.trained import Trained

__all__ = [
    "System",
    "analyze",
    "evaluate",
    "from_checkpoint",
    "generate",
    "train",
    "train_judge",
]

EVALUATION_BATCH = 16
EVALUATED_SHAPES = 256
"""Training shapes that the overfitting watch looks at: as many as a validation split holds."""


class System(EngineSystem):
    """Text-conditioned voxel VAE-GAN, with a text-conditioned flow prior where asked for."""

    name = "voxel_gan"
    monitor = "val/iou"
    monitor_mode = "max"

    def __init__(self, config: Config, objects: Objects | None = None):
        super().__init__(config)
        seed_everything(config.seed)  # the networks' first weights
        data, model, training = config.data, config.model, config.training
        self.config: Config = config
        # A wrong name of device or encoder is told at once, not after minutes of voxels.
        pick_device(config.device)
        encoder = load_text_encoder(model.text_encoder)
        self.objects = load_objects(data) if objects is None else objects
        self.splits = {
            split: VoxelBatches(
                self.objects,
                self.objects.rows(split),
                encoder,
                cond_dim=model.cond_dim,
                mirror=data.mirror and split == "train",
                prompt_dropout=training.prompt_dropout,
            )
            for split in ("train", "val", "test")
        }
        self.loader = EpochLoader(
            len(self.splits["train"]),
            self.splits["train"],
            batch_size=data.batch_size,
            seed=config.seed,
            num_workers=data.loader_workers,
            drop_last=len(self.splits["train"]) >= data.batch_size,
        )
        self.stateful = {"loader": self.loader}

        # References without the engine's wrappers, for methods and attributes of the networks.
        self.cvae = build_cvae(model, data.voxel_size)
        self.prior = build_prior(model) if model.prior == "flow" else None
        self.networks = {"cvae": self.cvae}
        # fused: one pass over the weights; the documented network has 20 million of them
        adamw = partial(torch.optim.AdamW, weight_decay=training.weight_decay, fused=True)
        is_plain = model.architecture == "plain"
        weights = width_scaled(self.cvae, training.lr) if is_plain else self.cvae.parameters()
        self.optimizers = {"generator": adamw(weights, lr=training.lr)}
        if training.lambda_adv > 0:
            self.networks["discriminator"] = build_discriminator(model, data.voxel_size)
            self.optimizers["discriminator"] = torch.optim.Adam(
                width_scaled(self.networks["discriminator"], training.lr * 0.1),
                betas=(0.5, 0.999),
                fused=True,
            )
        if self.prior is not None:
            self.networks["prior"] = self.prior
            self.optimizers["prior"] = adamw(self.prior.parameters(), lr=training.prior_lr)
        self.num_steps = 0
        self.stateful["steps"] = StepCount(self)
        self.hooks = [FileByIoU()]

    @property
    def num_batches(self) -> int:
        return len(self.loader)

    def batches(self) -> Iterator[dict[str, Tensor]]:
        return iter(self.loader)

    def condition(self, cond: Tensor) -> Tensor:
        """What the decoder sees of the text."""
        return decoder_condition(self.config.model, cond)

    def step(self, batch: dict[str, Tensor], update: Update) -> dict[str, float | Tensor]:
        training, model = self.config.training, self.config.model
        voxels = batch["voxels"].contiguous(memory_format=torch.channels_last_3d)
        noise = torch.randn(len(voxels), model.latent_dim, device=voxels.device)
        logits, mu, logvar, z = self.networks["cvae"](voxels, self.condition(batch["cond"]), noise)
        losses = vae_loss(
            logits,
            voxels,
            mu,
            logvar,
            kl_weight=training.kl_weight * self._ramp(training.kl_warmup_steps),
            dice_weight=training.dice_weight,
        )
        total = training.recon_weight * losses["vae"]
        if "discriminator" in self.networks:
            discriminator, fake = self.networks["discriminator"], binarize(logits)
            losses["discriminator"] = discriminator_loss(
                discriminator(voxels), discriminator(fake.detach())
            )
            update(losses["discriminator"], "discriminator")
            losses["adversarial"] = adversarial_loss(discriminator(fake))
            ramp = self._ramp(training.adv_warmup_epochs * self.num_batches)
            total = total + training.lambda_adv * ramp * losses["adversarial"]
        update(total, "generator")
        if self.prior is not None:
            losses["prior"] = self._prior_step(
                self.prior, z.detach().float(), batch["cond"], update
            )
        self.num_steps += 1
        return {
            "loss": losses["vae"],
            **losses,
            "iou": voxel_iou(logits.detach() > 0, voxels).mean(),
        }

    def _prior_step(self, prior: FlowPrior, z: Tensor, cond: Tensor, update: Update) -> Tensor:
        """Teach the flow the codes of this batch, each at several times."""
        prior.track_scale(z)
        repeats = self.config.training.prior_repeats
        latents = prior.normalize(z).repeat(repeats, 1)
        noise = torch.randn_like(latents)
        t = torch.rand(len(latents), device=latents.device)
        x_t = (1 - t[:, None]) * noise + t[:, None] * latents
        velocity = self.networks["prior"](x_t, t, cond.repeat(repeats, 1))
        loss = flow_loss(velocity.float(), latents, noise)
        update(loss, "prior")
        return loss.detach()

    def _ramp(self, num_steps: int) -> float:
        """From 0 to 1 over the first steps."""
        return min(1.0, (self.num_steps + 1) / num_steps) if num_steps else 1.0

    def evaluate(self, split: str = "val") -> dict[str, float]:
        """Loss and IoU at p > 0.5 of reconstructions from the posterior's mean."""
        batches, model = self.splits[split], self.config.model
        totals: dict[str, float] = {}
        count = min(len(batches), EVALUATED_SHAPES) if split == "train" else len(batches)
        for start in range(0, count, EVALUATION_BATCH):
            batch = batches.plain_batch(start, min(EVALUATION_BATCH, count - start))
            voxels, cond = batch["voxels"].to(self.device), batch["cond"].to(self.device)
            zeros = voxels.new_zeros(len(voxels), model.latent_dim)
            logits, mu, logvar, _ = self.networks["cvae"](voxels, self.condition(cond), zeros)
            losses = vae_loss(
                logits,
                voxels,
                mu,
                logvar,
                kl_weight=self.config.training.kl_weight,
                dice_weight=self.config.training.dice_weight,
            )
            numbers = {"loss": losses["vae"], "bce": losses["bce"], "kl": losses["kl"]}
            numbers["iou"] = voxel_iou(logits > 0, voxels).mean()
            for name, value in numbers.items():
                totals[name] = totals.get(name, 0.0) + float(value) * len(voxels)
        return {name: total / count for name, total in totals.items()} if count else {}

    def sample(self, folder: Path, step: int) -> None:
        """Draw held-out shapes above their reconstructions."""
        batches = self.splits["val"] if len(self.splits["val"]) else self.splits["train"]
        batch = batches.plain_batch(0, 8)
        voxels = batch["voxels"].to(self.device)
        zeros = voxels.new_zeros(len(voxels), self.config.model.latent_dim)
        logits, *_ = self.networks["cvae"](
            voxels, self.condition(batch["cond"].to(self.device)), zeros
        )
        draw_reconstructions(
            batch["voxels"], torch.sigmoid(logits.float()).cpu(), folder / f"step_{step:07d}.png"
        )


class StepCount:
    """The number of steps done, as something that a checkpoint keeps."""

    def __init__(self, system: System):
        self.system = system

    def state_dict(self) -> dict[str, Any]:
        return {"num_steps": self.system.num_steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.system.num_steps = int(state["num_steps"])


def train(config: Config) -> dict[str, Any]:
    """Train, and say where the run is and how good it became."""
    result = fit(System(config), config)
    return {"run": str(result.run_dir), **result.metrics}


def from_checkpoint(path: Path, device: str = "auto") -> Trained:
    """The trained model in a file, ready to decode; see `systems.from_checkpoint`."""
    return Trained(path, pick_device(device))
