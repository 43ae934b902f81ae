"""Wires data, towers and losses together; one function per verb."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from triform.base.logging import get_logger
from triform.base.seeding import seed_everything
from triform.engine.checkpoint import read
from triform.engine.device import pick_device
from triform.engine.fit import fit
from triform.engine.protocol import Stateful
from triform.engine.protocol import System as EngineSystem
from triform.engine.sampler import EpochLoader
from triform.engine.update import Update
from triform.losses.contrastive import LogitScale, gather_with_gradient, multi_positive_contrastive
from triform.pretrained.text_encoder import load_text_encoder
from triform.systems.retrieval.config import Config
from triform.systems.retrieval.data import Batches, TextTable, describe, load_objects
from triform.systems.retrieval.embedding import embed
from triform.systems.retrieval.evaluation import evaluate
from triform.systems.retrieval.loss import retrieval_loss
from triform.systems.retrieval.measuring import (
    both_directions,
    embed_objects,
    mean_view,
    similarity,
    text_to,
)
from triform.systems.retrieval.memory import Memory
from triform.systems.retrieval.model import (
    build_image_tower,
    build_point_encoder,
    build_text_tower,
)
from triform.systems.retrieval.objects import Objects
from triform.systems.retrieval.pictures import draw_answers
from triform.systems.retrieval.recon_weights import load_into, official_state
from triform.systems.retrieval.searching import search
from triform.systems.retrieval.submission import submit
from triform.systems.retrieval.towers import SaveBestRecall
from triform.systems.retrieval.trained import Retriever

__all__ = ["System", "embed", "evaluate", "from_checkpoint", "search", "submit", "train"]

logger = get_logger(__name__)

EVALUATED_OBJECTS = 256
"""Training objects that the overfitting watch looks at."""
SHOWN_OBJECTS = 8


class System(EngineSystem):
    """Encoders of pictures, shapes and texts into one space, trained by contrast."""

    name = "retrieval"
    monitor_mode = "max"

    def __init__(self, config: Config, objects: Objects | None = None):
        super().__init__(config)
        seed_everything(config.seed)  # the networks' first weights
        data, model, training = config.data, config.model, config.training
        # A wrong name of device or encoder is told at once, not after minutes of preparation.
        pick_device(config.device)
        encoder = load_text_encoder(model.text_encoder) if model.text_encoder else None
        self.features_by: dict[str, str] = {}
        if objects is None:
            objects, self.features_by = load_objects(config)
            logger.info("%s", ", ".join(f"{k} {v}" for k, v in describe(objects).items()))
        self.objects, self.texts = objects, TextTable(objects, encoder)
        self.batches_of = {
            split: Batches(objects, objects.rows(split), self.texts, data)
            for split in ("train", "val", "test")
        }
        count = len(self.batches_of["train"])
        self.loader = EpochLoader(
            count,
            self.batches_of["train"],
            batch_size=data.batch_size,
            seed=config.seed,
            num_workers=data.num_workers,
            drop_last=count >= data.batch_size,
        )
        self.stateful: dict[str, Stateful] = {"loader": self.loader}
        self.memory = Memory(training.memory, model.emb_dim) if training.memory else None
        if self.memory is not None:
            self.stateful["memory"] = self.memory
        self.monitor = f"val/{config.metrics.monitor}"

        # References without the engine's wrappers, for methods and attributes of the networks.
        width = 0 if objects.features is None else objects.features.shape[-1]
        self.image_tower = build_image_tower(model, width)
        self.point_encoder = build_point_encoder(model)
        if model.point_weights:
            path = model.point_weights
            load_into(self.point_encoder, official_state(read(path), path), path)
        self.scale = LogitScale(training.temperature, learned=training.learn_temperature)
        self.networks = {"images": self.image_tower}
        self.networks["points"] = self.point_encoder
        if not training.uses_points:
            self.point_encoder.requires_grad_(False)
        if training.uses_text:
            self.networks["texts"] = build_text_tower(model, self.texts.dim)
        self.networks["scale"] = self.scale
        self.optimizers = {"main": self._optimizer()}
        self.hooks = [SaveBestRecall(config.metrics.save_checkpoint_at_recall_k)]
        if not training.warmup_steps and training.warmup_epochs:
            steps = round(training.warmup_epochs * len(self.loader))
            training = training.model_copy(update={"warmup_steps": steps})
        self.config: Config = config.model_copy(update={"training": training})

    def _optimizer(self) -> torch.optim.Optimizer:
        """AdamW with four groups: heads and point encoder, each with and without decay."""
        training = self.config.training
        factor, decay = training.head_lr_factor, training.weight_decay
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, network in self.networks.items():
            rate = training.lr * (1 if name == "points" else factor)
            for key, parameter in network.named_parameters():
                if parameter.requires_grad:
                    plain = parameter.ndim < 2 or "global_query" in key
                    groups.setdefault((rate, 0.0 if plain else decay), []).append(parameter)
        return torch.optim.AdamW(
            [
                {"params": parameters, "lr": rate, "weight_decay": decay}
                for (rate, decay), parameters in groups.items()
            ],
            lr=training.lr,
            fused=True,
        )

    @property
    def num_batches(self) -> int:
        return len(self.loader)

    def batches(self) -> Iterator[dict[str, Tensor]]:
        return iter(self.loader)

    def step(self, batch: dict[str, Tensor], update: Update) -> dict[str, float | Tensor]:
        training, networks = self.config.training, self.networks
        images = batch["images"]
        embedded, balance = networks["images"](images.flatten(0, 1))
        views = embedded.unflatten(0, images.shape[:2])
        points = views[:, 0].detach()
        if training.uses_points:
            points = networks["points"](batch["points"], batch["colors"])
        texts = networks["texts"](batch["texts"]) if training.uses_text else None
        scale, number = networks["scale"](), gather_with_gradient(batch["object"])
        together = gather_with_gradient(views)
        memory = self.memory.negatives(number) if self.memory is not None else None
        losses = retrieval_loss(
            together, points, texts, batch["caption"], scale, balance, training, memory
        )
        update(losses["loss"])
        if self.memory is not None:
            self.memory.add(together, number)
        with torch.no_grad():
            hits = (views[:, 0].float() @ points.float().T).argmax(1)
            right = (hits == torch.arange(len(hits), device=hits.device)).float().mean()
        numbers: dict[str, float | Tensor] = {**losses, "img2pc_recall@1": right}
        if training.learn_temperature:
            numbers["temperature"] = 1 / scale.detach()
        return numbers

    def evaluate(self, split: str = "val") -> dict[str, float]:
        """Recalls in both directions over the objects of a split, and the loss of one pass."""
        batches, ks = self.batches_of[split], self.config.metrics.k_list_for_recalls
        rows = batches.rows[:EVALUATED_OBJECTS] if split == "train" else batches.rows
        if len(rows) < 2:
            return {}
        images, points = embed_objects(
            batches, rows, self.networks["images"], self.networks["points"], self.device
        )
        texts, owners = self._texts_of(rows)
        numbers = {"loss": self._loss_of(images, points)}
        for name, values in both_directions(images, points, ks).items():
            numbers |= {f"{name}_{key}": value for key, value in values.items()}
        for k in ks:
            numbers[f"recall@{k}"] = (
                numbers[f"img2pc_recall@{k}"] + numbers[f"pc2img_recall@{k}"]
            ) / 2
        if len(texts):
            for name, gallery in (("text2pc", points), ("text2img", mean_view(images))):
                found = text_to(texts, owners, gallery, ks)
                numbers |= {f"{name}_{key}": value for key, value in found.items()}
        return numbers

    def _loss_of(self, images: Tensor, points: Tensor) -> float:
        """The pictures' and shapes' loss in batches as large as those of training."""
        size, training = self.config.data.batch_size, self.config.training
        losses = [
            multi_positive_contrastive(
                points[start : start + size],
                images[start : start + size],
                float(self.scale()),
                positives=training.positives,
            )["loss"]
            for start in range(0, max(1, len(points) - size + 1), size)
        ]
        return float(torch.stack(losses).mean())

    def _texts_of(self, rows: np.ndarray) -> tuple[Tensor, list[list[int]]]:
        """Every caption of some objects, embedded, and which of the objects it fits."""
        if "texts" not in self.networks:
            return torch.empty(0), []
        owners: dict[int, list[int]] = {}
        for place, row in enumerate(rows):
            for caption in self.texts.choices[row]:
                owners.setdefault(caption, []).append(place)
        if not owners:
            return torch.empty(0), []
        known = self.texts.embeddings[list(owners)].to(self.device)
        return self.networks["texts"](known).float().cpu(), list(owners.values())

    def sample(self, folder: Path, step: int) -> None:
        """Draw pictures of held-out objects beside the objects that they find."""
        split = "val" if len(self.batches_of["val"]) > 1 else "train"
        batches = self.batches_of[split]
        rows = batches.rows[: 8 * SHOWN_OBJECTS]
        images, points = embed_objects(
            batches, rows, self.networks["images"], self.networks["points"], self.device
        )
        found = similarity(images[:SHOWN_OBJECTS, 0], points)
        draw_answers(self.objects, rows, found, folder / f"step_{step:07d}.png")


def train(config: Config) -> dict[str, Any]:
    """Train, and say where the run is and how good it became."""
    system = System(config)
    result = fit(system, system.config)
    return {"run": str(result.run_dir), **result.metrics}


def from_checkpoint(path: Path, device: str = "auto") -> Retriever:
    """The trained encoders in a file, ready to embed; see `systems.from_checkpoint`."""
    return Retriever.from_checkpoint(path, device)
