"""Training in three stages: VAE, prior, GAN."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from triform.base.seeding import generator
from triform.engine.epoch_loader import EpochLoader
from triform.engine.optimizers import adamw
from triform.engine.protocol import System as EngineSystem
from triform.engine.update import Update
from triform.images.grid import save_images
from triform.losses.gan import R1_INTERVAL, R1_NOT_SHARDED, generator_loss, lazy_r1
from triform.losses.gan_monitor import GanMonitor
from triform.losses.rectified_flow import flow_loss
from triform.metrics.kernel_distance import kernel_distance
from triform.pretrained.image_features import image_features
from triform.systems.text_to_image.classifier import train_classifier
from triform.systems.text_to_image.compositing import composite, random_backgrounds
from triform.systems.text_to_image.condition import TextCondition
from triform.systems.text_to_image.condition_encoding import word_dim
from triform.systems.text_to_image.config import STAGES, Config, Stage
from triform.systems.text_to_image.data import CaptionedImages, TrainingBatches
from triform.systems.text_to_image.evaluation import evaluate
from triform.systems.text_to_image.generation import generate, interpolate
from triform.systems.text_to_image.loss import (
    matching_discriminator_loss,
    regression_loss,
    vae_loss,
)
from triform.systems.text_to_image.model import build_discriminator, build_networks
from triform.systems.text_to_image.prior import FlowPrior
from triform.systems.text_to_image.text_embedding import load_encoder
from triform.systems.text_to_image.trained import Trained, sample_latents
from triform.tasks.captioning.data import load_table
from triform.tasks.contrastive.augmentation import jitter
from triform.tasks.image_generation.image_splits import to_uint8
from triform.text.vocabulary import tokenize

__all__ = ["System", "Trained", "evaluate", "generate", "interpolate", "train_classifier"]

EVALUATION_BATCH_SIZE = 100
SAMPLE_COLUMNS = 10
SAMPLE_STEPS, SAMPLE_GUIDANCE = 16, 2.0
MAX_VOCABULARY = 2000
"""Words of the training that a checkpoint names, at most."""
CONDITION_WARMUP = 1 / 3
"""Share of the GAN's training in which the text's weight in the discriminator rises to 1."""


def trained_from(stage: str) -> tuple[str, ...]:
    """Networks of a stage, the VAE apart, and of the stages behind it: they may begin anew."""
    networks = ("prior", "generator", "discriminator")
    return {"vae": networks, "prior": networks, "gan": networks[1:]}.get(stage, networks[2:])


class System(EngineSystem[Config]):
    """VAE, text-conditioned prior over its latents, and a GAN that refines what it decodes.

    One stage after the other is trained, by the share of the epochs that each has; the networks of
    the other stages keep their weights. Each stage selects its weights by a metric of its own.
    """

    name = "text_to_image"
    loader: EpochLoader
    metric_of: ClassVar[Mapping[Stage, str]] = {
        "vae": "val/l1",
        "prior": "val/prior",
        "gan": "val/kernel_distance",
        "joint": "val/kernel_distance",
    }

    def __init__(self, config: Config):
        super().__init__(config)
        data, model, training = config.data, config.model, config.training
        encoder = load_encoder(model.text_encoder, model.clip, config.device)
        table = load_table(data, config.seed, alpha=data.alpha)
        self.data = CaptionedImages(table, data.image_size, encoder, model.max_words)
        self.word_dim = word_dim(encoder, model.max_words)
        self.fingerprint, self.text_dim = encoder.fingerprint, encoder.dim
        batches = TrainingBatches(self.data, training, encoder)
        self.loader = EpochLoader(
            len(batches),
            batches,
            batch_size=data.batch_size,
            seed=config.seed,
            num_workers=data.num_workers,
            drop_last=len(batches) >= data.batch_size,
        )
        networks = build_networks(
            model,
            channels=self.data.channels,
            image_size=data.image_size,
            text_dim=self.text_dim,
            word_dim=self.word_dim,
        )
        self.vae, self.prior, self.generator = networks.vae, networks.prior, networks.generator
        discriminator = build_discriminator(model, self.text_dim)
        self.networks = {**networks.by_name(), "discriminator": discriminator}
        self.optional_networks = trained_from(training.stage)
        self.optimizers = {
            "vae": adamw(self.vae.parameters(), training),
            "prior": adamw(self.prior.parameters(), training),
            **{
                name: torch.optim.Adam(
                    self.networks[name].parameters(), training.gan_lr, (0.0, 0.99), fused=True
                )
                for name in ("generator", "discriminator")
            },
        }
        self.gan_monitor = GanMonitor()
        self.stateful = {"gan_monitor": self.gan_monitor}
        self._posterior: tuple[Tensor, Tensor] | None = None

    @property
    def why_not_sharded(self) -> str:
        return R1_NOT_SHARDED if self.config.training.r1 > 0 else ""

    @property
    def monitor(self) -> str:  # type: ignore[override]
        """The metric of the stage that the last step belonged to."""
        stage, _ = self.stage_and_progress(max(0, self.num_steps - 1))
        return self.metric_of[stage]

    def metadata(self) -> dict[str, Any]:
        return {
            "channels": self.data.channels,
            "text_dim": self.text_dim,
            "word_dim": self.word_dim,
            "text_encoder": self.fingerprint,
            "vocabulary": self._vocabulary(),
        }

    def _vocabulary(self) -> list[str]:
        """Words of the training captions, sorted; none where there are very many."""
        captions = [self.data.table.captions[row] for row in self.data.table.rows("train")]
        words = {word for texts in captions for text in texts for word in tokenize(text)}
        return sorted(words) if len(words) <= MAX_VOCABULARY else []

    def stage_and_progress(self, step: int) -> tuple[Stage, float]:
        """The stage of a step, and the share of the stage that is done."""
        training = self.config.training
        total = training.epochs * len(self.loader)
        if training.stage != "all":
            return training.stage, min(1.0, step / max(1, total))
        start, end = 0, 0.0
        for stage, share in zip(STAGES, training.stage_shares, strict=True):
            end += total * share / sum(training.stage_shares)
            if start <= step < round(end):
                return stage, (step - start) / (round(end) - start)
            start = round(end)
        last = max(index for index, share in enumerate(training.stage_shares) if share)
        return STAGES[last], 1.0

    def step(self, batch: dict[str, Tensor], update: Update) -> dict[str, Tensor]:
        stage, progress = self.stage_and_progress(self.num_steps)
        losses: dict[str, Tensor] = {}
        if stage in ("gan", "joint"):
            losses |= self._gan_step(batch, update, progress)
        if stage in ("prior", "joint"):
            losses |= self._prior_step(batch, update)
        if stage in ("vae", "joint"):
            losses |= self._vae_step(batch, update)
        return losses

    def _vae_step(self, batch: dict[str, Tensor], update: Update) -> dict[str, Tensor]:
        shape = (len(batch["images"]), *self.prior.shape)
        noise = torch.randn(shape, device=self.device)
        output, mean, logvar = self.networks["vae"](batch["images"], noise)
        losses = vae_loss(output, batch["images"], mean, logvar, self.config.training)
        update(losses["loss"], "vae")
        self.vae.update_statistics(mean.detach().float())
        return losses

    @torch.no_grad()
    def _latents(self, images: Tensor) -> Tensor:
        """Normalized latents (B, L, H, W), samples of the posterior."""
        return self._sampled(*self.vae.encoder(images))

    def _sampled(self, mean: Tensor, logvar: Tensor) -> Tensor:
        return self.vae.normalize(mean + torch.randn_like(mean) * (logvar / 2).exp()).float()

    @torch.no_grad()
    def _training_latents(self, batch: dict[str, Tensor]) -> Tensor:
        """Latents of a training batch; where the prior alone is trained, all are encoded once."""
        if self.config.training.stage != "prior":
            return self._latents(batch["images"])
        if self._posterior is None:
            rows = torch.from_numpy(self.data.table.rows("train"))
            parts = [
                self.vae.encoder(self.data.images(part.numpy()).to(self.device))
                for part in rows.split(EVALUATION_BATCH_SIZE)
            ]
            mean, logvar = (torch.cat([part[each].float() for part in parts]) for each in (0, 1))
            self._posterior = mean, logvar
        mean, logvar = self._posterior
        return self._sampled(mean[batch["index"]], logvar[batch["index"]])

    def _prior_step(self, batch: dict[str, Tensor], update: Update) -> dict[str, Tensor]:
        latents = self._training_latents(batch)
        condition = TextCondition(batch["sentence"], batch["words"], batch["word_mask"])
        if isinstance(self.prior, FlowPrior):
            dropped = torch.rand(len(latents), device=self.device)
            condition = condition.without_text(dropped < self.config.training.condition_dropout)
            t = torch.randn(len(latents), device=self.device).sigmoid()
            noise = torch.randn_like(latents)
            prior, mean = self._flow_losses(latents, condition, t, noise)
            losses = {"loss": prior + mean, "prior": prior, "mean": mean}
        else:
            loss = regression_loss(self.networks["prior"](condition), latents)
            losses = {"loss": loss, "prior": loss}
        update(losses["loss"], "prior")
        return losses

    def _flow_losses(
        self, latents: Tensor, condition: TextCondition, t: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Losses of the velocity and of the mean of the text."""
        times = t[:, None, None, None]
        x_t = (1 - times) * noise + times * latents
        velocity, mean = self.networks["prior"](x_t, t, condition)
        if torch.is_grad_enabled() and isinstance(self.prior, FlowPrior):
            self.prior.update_residual_std(latents, mean)
        return flow_loss(velocity, latents, noise), regression_loss(mean, latents)

    def _gan_step(
        self, batch: dict[str, Tensor], update: Update, progress: float
    ) -> dict[str, Tensor]:
        training, images, text = self.config.training, batch["images"], batch["text"]
        latents = self._latents(images)
        with torch.no_grad():
            noise = training.latent_noise * torch.randn_like(latents)
            decoded = self.vae.decode(latents + noise)
        text_weight = min(1.0, progress / CONDITION_WARMUP)
        discriminator = self.networks["discriminator"]
        fake = self.networks["generator"](decoded, text)
        applies_r1 = training.r1 > 0 and self.gan_monitor.steps % R1_INTERVAL == 0
        real_rgb = self._augment(images).requires_grad_(applies_r1)
        real_logits = discriminator(real_rgb, text, text_weight)
        fake_logits = discriminator(self._augment(fake.detach()), text, text_weight)
        mismatched = discriminator(real_rgb.detach(), text.roll(1, 0), text_weight)
        loss = matching_discriminator_loss(real_logits, fake_logits, mismatched)
        if applies_r1:
            loss = loss + lazy_r1(real_logits, real_rgb, training.r1)
        update(loss, "discriminator")
        fake_rgb = self._augment(fake)
        fake_logits = discriminator(fake_rgb, text, text_weight)
        adversarial = generator_loss(fake_logits)
        l1 = (fake - images).abs().mean()
        update(training.l1_weight * l1 + training.adversarial_weight * adversarial, "generator")
        monitored = self.gan_monitor.update(
            real_rgb.detach(), fake_rgb.detach(), real_logits, fake_logits, adversarial
        )
        losses = {"loss": loss, "discriminator": loss, "adversarial": adversarial, "refined_l1": l1}
        return losses | monitored

    def _augment(self, images: Tensor) -> Tensor:
        """RGB images on random backgrounds, rotated, scaled, moved and recoloured.

        Differentiable, so that the generator learns through it (arXiv:2006.10738).
        """
        rgb = composite(images, random_backgrounds(len(images), images.device))
        seed = int(torch.randint(2**62, ()))
        random = torch.Generator().manual_seed(seed)
        return jitter(rgb, self.config.training.augmentation, random)

    def evaluate(self, split: str = "val") -> dict[str, float]:
        """Metrics of the three stages; `loss` is that of the VAE or the prior, as in training."""
        rows = self.data.table.splits.get(split)
        if rows is None or not len(rows):
            return {}
        count = min(len(rows), self.config.metrics.num_samples)
        rows = rows[torch.linspace(0, len(rows) - 1, count).long()]
        random, totals = generator("evaluate", split), {"l1": 0.0, "prior": 0.0}
        if isinstance(self.prior, FlowPrior):
            totals["mean"] = 0.0
        refined = []
        for part in torch.from_numpy(rows).split(EVALUATION_BATCH_SIZE):
            images = self.data.images(part.numpy()).to(self.device)
            text = self.data.condition(self.data.first_captions(part.numpy())).to(self.device)
            mean, _ = self.vae.encoder(images)
            latents = self.vae.normalize(mean)
            reconstruction = self.vae.decode(latents)
            totals["l1"] += float((reconstruction - images).abs().mean()) * len(part)
            if isinstance(self.prior, FlowPrior):
                noise = torch.randn(latents.shape, generator=random).to(self.device)
                t = torch.rand(len(latents), generator=random).to(self.device)
                prior, of_mean = self._flow_losses(latents, text, t, noise)
                totals["mean"] += float(of_mean) * len(part)
            else:
                prior = regression_loss(self.prior(text), latents)
            totals["prior"] += float(prior) * len(part)
            refined.append(to_uint8(composite(self.generator(reconstruction, text.sentence))))
        metrics = {name: total / len(rows) for name, total in totals.items()}
        real = to_uint8(composite(self.data.images(rows)))
        distance, _ = kernel_distance(
            image_features(torch.cat(refined)), image_features(real), subsets=10
        )
        metrics["kernel_distance"] = distance
        stage, _ = self.stage_and_progress(max(0, self.num_steps - 1))
        return {"loss": metrics["prior" if stage in ("prior", "gan") else "l1"], **metrics}

    def sample(self, folder: Path, step: int) -> None:
        """Save validation images, their reconstructions, and images of their captions."""
        rows = self.data.table.splits.get("val", self.data.table.rows("train"))[:SAMPLE_COLUMNS]
        images = self.data.images(rows).to(self.device)
        text = self.data.condition(self.data.first_captions(rows)).to(self.device)
        reconstruction = self.vae.decode(self.vae.normalize(self.vae.encoder(images)[0]))
        latents = sample_latents(
            self.prior, text, generator("sample"), steps=SAMPLE_STEPS, guidance=SAMPLE_GUIDANCE
        )
        base = self.vae.decode(latents)
        parts = [images, reconstruction, base, self.generator(base, text.sentence)]
        pixels = torch.cat([to_uint8(composite(part)) for part in parts]).numpy()
        save_images(pixels, folder / f"{step:06d}.png", len(rows))
