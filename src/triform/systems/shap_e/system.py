"""Wires data, conditions, prior and (joint) encoder and decoder; one function per verb."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from triform.base.errors import UserError
from triform.base.logging import NOTICE, get_logger
from triform.base.seeding import generator, hash_seed
from triform.engine.checkpoints.building import compare_tensors
from triform.engine.checkpoints.checkpoint import load_weights
from triform.engine.checkpoints.initial_weights import FLAG, load_networks
from triform.engine.config import SHIPPED
from triform.engine.epoch_loader import EpochLoader
from triform.engine.optimizers import adamw
from triform.engine.processes import process_count
from triform.engine.protocol import System as EngineSystem
from triform.engine.update import Update
from triform.metrics.voxel import voxel_iou
from triform.systems.shap_e.config import Config
from triform.systems.shap_e.conversion.convert import convert
from triform.systems.shap_e.data import (
    Batches,
    Conditions,
    ShapEDataset,
    load_conditions,
    load_dataset,
)
from triform.systems.shap_e.encode import encode
from triform.systems.shap_e.encoder_inputs import field_positions
from triform.systems.shap_e.evaluation import evaluate
from triform.systems.shap_e.generation import generate
from triform.systems.shap_e.loss import color_loss, diffusion_loss, field_loss
from triform.systems.shap_e.memory import estimate_memory
from triform.systems.shap_e.noise_schedule import NoiseSchedule
from triform.systems.shap_e.output.sample_images import draw_latents, draw_shapes
from triform.systems.shap_e.samplers import karras_sigmas
from triform.systems.shap_e.show_config import config
from triform.systems.shap_e.stages import stage_rates, trained_networks
from triform.systems.shap_e.trained import (
    PRIOR,
    TRANSMITTER,
    Trained,
    build_prior,
    metadata_of,
    sample_latents,
)
from triform.systems.shap_e.transmitter.transmitter import Transmitter, saturation

__all__ = ["System", "Trained", "config", "convert", "encode", "evaluate", "generate"]

logger = get_logger(__name__)

EVALUATED_OBJECTS = 64
EVALUATION_BATCH_SIZE = 8
SAMPLES, SAMPLE_STEPS, SAMPLE_GUIDANCE = 4, 12, 3.0


class System(EngineSystem[Config]):
    """Latent diffusion of Shap-E, with encoder and decoder where they are trained as well."""

    name = "shap_e"
    loader: EpochLoader

    def __init__(
        self,
        config: Config,
        dataset: ShapEDataset | None = None,
        conditions: Conditions | None = None,
    ):
        super().__init__(config)
        self.dataset = load_dataset(config) if dataset is None else dataset
        self.conditions = (
            load_conditions(config, self.dataset) if conditions is None else conditions
        )
        self.splits = {
            split: Batches(self.dataset, self.conditions, self.dataset.rows(split), config)
            for split in ("train", "val", "test")
        }
        train, training = self.splits["train"], config.training
        self.loader = EpochLoader(
            len(train),
            train,
            batch_size=config.data.batch_size,
            seed=config.seed,
            num_workers=config.data.num_workers,
            drop_last=len(train) >= config.data.batch_size,
        )
        self.schedule = NoiseSchedule(config.diffusion)
        self.prior = build_prior(config, self.conditions.shape[1])
        if training.gradient_checkpointing:
            self.prior.enable_gradient_checkpointing()
        self.networks = {PRIOR: self.prior}
        self.optimizers = {
            PRIOR: adamw([p for p in self.prior.parameters() if p.requires_grad], training)
        }
        self.encoded: Tensor | None = None
        if config.transmitter.joint:
            self.transmitter = Transmitter(config.transmitter)
            self.networks[TRANSMITTER] = self.transmitter
            self.optimizers[TRANSMITTER] = adamw(
                self.transmitter.parameters(), training, training.transmitter_lr
            )
        memory = estimate_memory(
            config, self.networks.values(), self.conditions.shape[0], process_count()
        )
        logger.log(NOTICE, "%s", memory.describe())

    def find_initial_weights(self) -> Path:
        """Find them; official files and folders of diffusers have names of their own."""
        source = self.config.training.initial_weights
        return super().find_initial_weights() if source == SHIPPED else Trained.find(source)

    def load_initial_weights(self) -> None:
        """Load the prior, and the transmitter where it is trained too and the file has one."""
        path = self.find_initial_weights()
        weights = load_weights(path)
        load_prior(self.prior, weights.networks.get(PRIOR, {}), path)
        if TRANSMITTER in self.networks and TRANSMITTER in weights.networks:
            transmitter = {TRANSMITTER: self.networks[TRANSMITTER]}
            load_networks(transmitter, weights, path, self.config)

    def metadata(self) -> dict[str, Any]:
        return metadata_of(self.conditions.shape)

    def batches(self) -> Iterator[dict[str, Tensor]]:
        names = trained_networks(self.config, self.loader.epoch)
        self.splits["train"].has_geometry = TRANSMITTER in names
        # The best weights are those of the last stage.
        self.monitor = "val/joint_error" if PRIOR in names else "val/field_error"
        if not self.config.transmitter.joint:
            self.monitor = "val/loss"
        return super().batches()

    def step(self, batch: dict[str, Tensor], update: Update) -> dict[str, float | Tensor]:
        config, epoch = self.config, self.loader.epoch
        rates = stage_rates(config, self.num_steps, epoch, len(self.loader))
        for name, rate in rates.items():
            for group in self.optimizers[name].param_groups:
                group["lr"] = rate  # the engine has just set that of the whole run
        names = trained_networks(config, epoch)
        losses: dict[str, float | Tensor] = {}
        if TRANSMITTER in names:
            latents, losses = self._transmitter_step(batch, update)
        elif config.transmitter.joint:
            latents = self._stored_latents(batch["object"])
        else:
            latents = batch["latents"]
        losses["saturated"] = saturation(latents)
        if PRIOR not in names:
            return {"loss": losses.pop("transmitter_total"), **losses}
        cond = batch["cond"]
        dropped = torch.rand(len(cond), device=cond.device) < self.config.diffusion.cond_drop_prob
        cond = cond.masked_fill(dropped[:, None, None], 0)
        t = torch.randint(0, len(self.schedule), (len(cond),), device=cond.device)
        noise = torch.randn_like(latents)
        prior_losses = self._prior_step(latents, cond, t, noise, update)
        total = prior_losses["loss"] + losses.pop("transmitter_total", 0.0)
        return {**prior_losses, **losses, "loss": total}

    def _transmitter_step(
        self, batch: dict[str, Tensor], update: Update
    ) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Update encoder and decoder; returns detached latents and losses."""
        training, scale = self.config.training, self.config.transmitter.latent_noise
        seeds = torch.randint(0, 2**62, (len(batch["points"]),)).tolist()
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        positions = torch.cat([batch["positions"], batch["surface"]], 1)
        unbounded, latents, field, colors = self.networks[TRANSMITTER](
            batch["points"], generators, positions, scale
        )
        count = batch["positions"].shape[1]
        losses = field_loss(field[:, :count].float(), batch["field"])
        losses["color"] = color_loss(colors[:, count:].float(), batch["colors"])
        total = losses["distance"] + losses["sign"] + training.color_weight * losses["color"]
        total = total + training.latent_penalty * unbounded.square().mean()
        update(total, TRANSMITTER)
        detached = {name: value.detach() for name, value in losses.items()}
        return latents.detach(), {**detached, "transmitter_total": total.detach()}

    def _prior_step(
        self, latents: Tensor, cond: Tensor, t: Tensor, noise: Tensor, update: Update
    ) -> dict[str, Tensor]:
        """Update the prior, by the gradient of the whole batch at once or of its parts in turn."""
        size, count = self.config.training.micro_batch_size, len(latents)
        if not size or size >= count:
            losses = self._prior_losses(self.networks[PRIOR], latents, cond, t, noise)
            means = {name: value.mean() for name, value in losses.items()}
            update(means["loss"], PRIOR)
            return {name: value.detach() for name, value in means.items()}
        totals: dict[str, Tensor] = {}
        for start in range(0, count, size):
            part = slice(start, start + size)
            network = self.networks[PRIOR]
            losses = self._prior_losses(network, latents[part], cond[part], t[part], noise[part])
            sums = {name: value.sum() / count for name, value in losses.items()}
            is_last = start + size >= count
            (update if is_last else update.accumulate)(sums["loss"], PRIOR)
            for name, value in sums.items():
                totals[name] = totals.get(name, torch.zeros(())) + value.detach()
        return totals

    def _prior_losses(
        self, network: Any, latents: Tensor, cond: Tensor, t: Tensor, noise: Tensor
    ) -> dict[str, Tensor]:
        """Losses (B,) of latents."""
        x_t = self.schedule.add_noise(latents, t, noise)
        return diffusion_loss(self.schedule, network(x_t, t, cond), latents, x_t, t, noise)

    def _stored_latents(self, objects: Tensor) -> Tensor:
        """Latents (B, V, W) of objects (B,) by the trained encoder, half of them mirrored in x."""
        sides = torch.randint(2 if self.config.data.mirror else 1, (len(objects),))
        return self._encode_all()[sides, objects.cpu()].to(objects.device)

    def _encode_all(self) -> Tensor:
        """Latents of all objects and of their mirror images (2, N, V, W), or without these.

        They are computed once: the encoder no longer changes.
        """
        if self.encoded is None:
            rows = _chunks(range(len(self.dataset.entries)), EVALUATION_BATCH_SIZE)
            is_training = self.transmitter.training
            self.transmitter.eval()
            with torch.no_grad():
                sides = [
                    torch.cat([self.encode(part, mirrored=mirrored).cpu() for part in rows])
                    for mirrored in (False, True)[: 1 + self.config.data.mirror]
                ]
            self.encoded = torch.stack(sides)
            self.transmitter.train(is_training)
        return self.encoded

    def encode(self, objects: Sequence[int], *, mirrored: bool = False) -> Tensor:
        """Latents (B, V, W) of objects: from files, or by the encoder in its present state."""
        batches = self.splits["train"]
        if not self.config.transmitter.joint:
            return batches.latents(objects).to(self.device)
        generators = [generator("encode", self.dataset.entries[i].object_id) for i in objects]
        points = batches.encoder_points(objects).to(self.device)
        if mirrored:
            points[..., 0] *= -1
        latents: Tensor = self.networks[TRANSMITTER](points, generators)
        return latents

    def evaluate(self, split: str = "val") -> dict[str, float]:
        """Losses at fixed steps and noise of each object, and reconstruction (joint)."""
        objects = self.dataset.rows(split, EVALUATED_OBJECTS)
        totals: dict[str, float] = {}
        latents_of = []
        for part in _chunks(objects, EVALUATION_BATCH_SIZE):
            latents = self.encode(part)
            latents_of.append(latents)
            cond = self.conditions.select([self.conditions.of_object[i][0] for i in part])
            t, noise = fixed_draws(
                [self.dataset.entries[i].object_id for i in part], len(self.schedule), latents.shape
            )
            losses = self._prior_losses(
                self.networks[PRIOR],
                latents,
                cond.to(self.device),
                t.to(self.device),
                noise.to(self.device),
            )
            values = {name: float(value.sum()) for name, value in losses.items()}
            if self.config.transmitter.joint:
                values["iou"] = float(self._reconstruction_iou(part, latents).sum())
            for name, value in values.items():
                totals[name] = totals.get(name, 0.0) + value
        if not latents_of:
            return {}
        metrics = {name: total / len(objects) for name, total in totals.items()}
        latents = torch.cat(latents_of)
        variance = float(latents.var(0, unbiased=False).mean()) if len(latents) > 1 else 0.0
        metrics["unexplained"] = metrics["mse"] / max(variance, 1e-6)
        metrics["saturated"] = float(saturation(latents))
        if "iou" in metrics:
            metrics["field_error"] = 1 - metrics["iou"]
            metrics["joint_error"] = 1 - metrics["iou"] + min(metrics["unexplained"], 10.0)
        return metrics

    def _reconstruction_iou(self, objects: Sequence[int], latents: Tensor) -> Tensor:
        """IoU (B,) of decoded latents with the voxels of the library."""
        target = self.splits["train"].fields(objects) > 0
        positions = field_positions(target.shape[-1]).to(latents.device)
        field = torch.cat(
            [self.transmitter.decoder(latent[None], positions[None])[0] for latent in latents]
        )
        return voxel_iou((field > 0).view(target.shape)[:, None].cpu(), target[:, None].float())

    def sample(self, folder: Path, step: int) -> None:
        """Draw what is sampled for held-out conditions: shapes, or latents without a decoder."""
        rows = self.dataset.rows("val", SAMPLES) or self.dataset.rows("train", SAMPLES)
        cond = self.conditions.select([self.conditions.of_object[index][0] for index in rows])
        latents = sample_latents(
            self.prior,
            self.schedule,
            cond.to(self.device),
            list(range(len(rows))),
            (self.config.transmitter.latent_vectors, self.config.transmitter.latent_width),
            min(SAMPLE_GUIDANCE, self.config.model.default_guidance),
            karras_sigmas(SAMPLE_STEPS, 1e-3, 160.0),
        )
        truth, path = self.encode(rows), folder / f"step_{step:07d}.png"
        labels = [self.conditions.captions[index] for index in rows]
        if self.config.transmitter.joint:
            size = self.config.data.field_size
            draw_shapes(self.transmitter.decoder, [truth, latents], labels, size, path)
        else:
            draw_latents([truth, latents], labels, path)


def fixed_draws(
    object_ids: Sequence[str], num_steps: int, shape: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """A step (B,) and noise (B, V, W) for each object, the same in every evaluation."""
    steps = [hash_seed("step", each) % num_steps for each in object_ids]
    noise = [torch.randn(*shape[1:], generator=generator("noise", each)) for each in object_ids]
    return torch.tensor(steps), torch.stack(noise)


def load_prior(prior: torch.nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Load weights to begin from; LoRA, which they do not have, keeps its own.

    Raises:
        UserError: They do not fit.
    """
    current = prior.state_dict()
    renamed = {_with_lora(key, current): tensor for key, tensor in tensors.items()}
    added = [key for key in current if ".lora_" in key]
    try:
        compare_tensors(PRIOR, prior, renamed, [f"{PRIOR}.{key}" for key in added])
    except ValueError as error:
        raise UserError(f"{FLAG} {path}: {error}; other sizes, or another --model_type") from error
    prior.load_state_dict(renamed, strict=False)


def _with_lora(key: str, names: dict[str, Tensor]) -> str:
    """The name of a tensor in a network with LoRA, whose layers are wrapped."""
    stem, _, leaf = key.rpartition(".")
    wrapped = f"{stem}.base_layer.{leaf}"
    return wrapped if wrapped in names else key


def _chunks(rows: Sequence[int], size: int) -> list[list[int]]:
    return [list(rows[start : start + size]) for start in range(0, len(rows), size)]
