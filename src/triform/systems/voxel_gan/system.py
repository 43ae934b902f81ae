"""The system: data, networks, losses and verbs of the voxel VAE-GAN."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from triform.engine.epoch_loader import EpochLoader
from triform.engine.optimizers import adamw
from triform.engine.protocol import System as EngineSystem
from triform.engine.update import Update
from triform.losses.rectified_flow import flow_loss
from triform.metrics.voxel import voxel_iou
from triform.pretrained.text_encoder import load_text_encoder
from triform.systems.voxel_gan.analysis import analyze
from triform.systems.voxel_gan.classifier import train_classifier
from triform.systems.voxel_gan.config import Config
from triform.systems.voxel_gan.data import VoxelBatches, VoxelDataset, load_voxel_dataset
from triform.systems.voxel_gan.evaluation import evaluate
from triform.systems.voxel_gan.generation import generate
from triform.systems.voxel_gan.iou_folders import IoUFolders
from triform.systems.voxel_gan.loss import (
    adversarial_loss,
    binarize,
    discriminator_loss,
    vae_loss,
)
from triform.systems.voxel_gan.model import (
    build_cvae,
    build_discriminator,
    decoder_condition,
    width_scaled,
)
from triform.systems.voxel_gan.prior import FlowPrior
from triform.systems.voxel_gan.sample_images import draw_reconstructions
from triform.systems.voxel_gan.trained import Trained
from triform.tasks.shape_generation.caption_distance import training_captions

__all__ = ["System", "Trained", "analyze", "evaluate", "generate", "train_classifier"]

EVALUATION_BATCH_SIZE = 16
MAX_TRAINING_SHAPES = 256
"""Most training shapes in an evaluation: as many as in a validation split."""


class System(EngineSystem[Config]):
    """Text-conditioned voxel VAE-GAN with an optional text-conditioned flow prior."""

    name = "voxel_gan"
    optional_networks = ("discriminator",)
    loader: EpochLoader
    monitor = "val/iou"
    monitor_mode = "max"
    variable_metadata = ("captions",)

    def __init__(self, config: Config, dataset: VoxelDataset | None = None):
        super().__init__(config)
        data, model, training = config.data, config.model, config.training
        # Loaded first: a wrong name is an error at once, not after minutes of voxelization.
        encoder = load_text_encoder(model.text_encoder)
        self.dataset = load_voxel_dataset(data) if dataset is None else dataset
        self.splits = {
            split: VoxelBatches(
                self.dataset,
                self.dataset.rows(split),
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

        # Without the engine's wrappers, for the methods and attributes of the networks.
        self.cvae = build_cvae(model, data.voxel_size)
        self.prior = FlowPrior(model) if model.prior == "flow" else None
        self.networks = {"cvae": self.cvae}
        is_plain = model.architecture == "plain"
        parameters = width_scaled(self.cvae, training.lr) if is_plain else self.cvae.parameters()
        self.optimizers = {"generator": adamw(parameters, training)}
        if training.lambda_adv > 0:
            self.networks["discriminator"] = build_discriminator(model, data.voxel_size)
            self.optimizers["discriminator"] = torch.optim.Adam(
                width_scaled(self.networks["discriminator"], training.lr * 0.1),
                betas=(0.5, 0.999),
                fused=True,
            )
        if self.prior is not None:
            self.networks["prior"] = self.prior
            self.optimizers["prior"] = adamw(self.prior.parameters(), training, training.prior_lr)
        self.hooks = [IoUFolders()]
        train = self.splits["train"]
        self.captions = training_captions(encoder, train.texts, train.cond.numpy())

    def metadata(self) -> dict[str, Any]:
        return {"captions": self.captions}

    def condition(self, cond: Tensor) -> Tensor:
        """Conditions (B, c) for the decoder."""
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
            kl_weight=training.kl_weight * self._warmup_factor(training.kl_warmup_steps),
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
            warmup = self._warmup_factor(training.adv_warmup_epochs * len(self.loader))
            total = total + training.lambda_adv * warmup * losses["adversarial"]
        update(total, "generator")
        if self.prior is not None:
            losses["prior"] = self._prior_step(
                self.prior, z.detach().float(), batch["cond"], update
            )
        return {
            "loss": losses["vae"],
            **losses,
            "iou": voxel_iou(logits.detach() > 0, voxels).mean(),
        }

    def _prior_step(self, prior: FlowPrior, z: Tensor, cond: Tensor, update: Update) -> Tensor:
        """Update the flow prior on the latents of this batch, each at several times."""
        prior.update_latent_statistics(z)
        repeats = self.config.training.prior_repeats
        latents = prior.normalize(z).repeat(repeats, 1)
        noise = torch.randn_like(latents)
        t = torch.rand(len(latents), device=latents.device)
        x_t = (1 - t[:, None]) * noise + t[:, None] * latents
        velocity = self.networks["prior"](x_t, t, cond.repeat(repeats, 1))
        loss = flow_loss(velocity.float(), latents, noise)
        update(loss, "prior")
        return loss.detach()

    def _warmup_factor(self, num_steps: int) -> float:
        """Linear warm-up factor from 0 to 1 over the first steps."""
        return min(1.0, (self.num_steps + 1) / num_steps) if num_steps else 1.0

    def evaluate(self, split: str = "val") -> dict[str, float]:
        """Loss and IoU at p > 0.5 of reconstructions from the posterior mean."""
        batches, model = self.splits[split], self.config.model
        totals: dict[str, float] = {}
        count = min(len(batches), MAX_TRAINING_SHAPES) if split == "train" else len(batches)
        for start in range(0, count, EVALUATION_BATCH_SIZE):
            batch = batches.ordered_batch(start, min(EVALUATION_BATCH_SIZE, count - start))
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
            metrics = {"loss": losses["vae"], "bce": losses["bce"], "kl": losses["kl"]}
            metrics["iou"] = voxel_iou(logits > 0, voxels).mean()
            for name, value in metrics.items():
                totals[name] = totals.get(name, 0.0) + float(value) * len(voxels)
        return {name: total / count for name, total in totals.items()} if count else {}

    def sample(self, folder: Path, step: int) -> None:
        """Write a contact sheet of held-out shapes above their reconstructions."""
        batches = self.splits["val"] if len(self.splits["val"]) else self.splits["train"]
        batch = batches.ordered_batch(0, 8)
        voxels = batch["voxels"].to(self.device)
        zeros = voxels.new_zeros(len(voxels), self.config.model.latent_dim)
        logits, *_ = self.networks["cvae"](
            voxels, self.condition(batch["cond"].to(self.device)), zeros
        )
        draw_reconstructions(
            batch["voxels"], torch.sigmoid(logits.float()).cpu(), folder / f"step_{step:07d}.png"
        )
