"""Wires data, towers and losses together; one function per verb."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from triform.base.errors import UserError
from triform.base.logging import get_logger
from triform.engine.checkpoints.checkpoint import load_weights, read
from triform.engine.checkpoints.initial_weights import FLAG, find_initial_weights
from triform.engine.epoch_loader import EpochLoader
from triform.engine.protocol import System as EngineSystem
from triform.engine.resume import resume_point
from triform.engine.update import Update
from triform.losses.contrastive import LogitScale, gather_with_gradient, multi_positive_contrastive
from triform.pretrained.text_encoder import load_text_encoder
from triform.systems.retrieval.checkpoint_pair import SaveBestRecall
from triform.systems.retrieval.config import Config
from triform.systems.retrieval.data import Batches, CaptionEmbeddings, describe, load_dataset
from triform.systems.retrieval.dataset import RetrievalDataset
from triform.systems.retrieval.documented.embed_images import embed
from triform.systems.retrieval.documented.submission import submit
from triform.systems.retrieval.encoders.recon_weights import load_into, official_state
from triform.systems.retrieval.evaluation.evaluate import evaluate
from triform.systems.retrieval.evaluation.recall import (
    both_directions,
    embed_objects,
    mean_view,
    similarity,
    text_to,
)
from triform.systems.retrieval.gallery.search import search
from triform.systems.retrieval.loss import CrossBatchMemory, retrieval_loss
from triform.systems.retrieval.model import (
    build_image_tower,
    build_point_encoder,
    build_text_tower,
)
from triform.systems.retrieval.result_sheet import save_result_sheet
from triform.systems.retrieval.trained import Retriever as Trained
from triform.systems.retrieval.trained import TrainedTowers

__all__ = ["System", "Trained", "embed", "evaluate", "search", "submit"]

logger = get_logger(__name__)

EVALUATED_OBJECTS = 256
"""Training objects on which the overfitting watch evaluates."""
SHEET_QUERIES, SHEET_GALLERY = 8, 64
TEXTS = "texts"
"""Name of the text tower."""


def begin_from(config: Config) -> tuple[TrainedTowers, Config]:
    """The weights of `--initial_weights`, and the settings with their networks and size of images.

    Raises:
        UserError: There are none, or the other settings do not fit them.
    """
    name = config.training.initial_weights
    path = find_initial_weights(name, "retrieval")
    towers = TrainedTowers.from_checkpoint(path, "cpu")
    data = towers.config.data
    sizes = {"image_size": data.image_size}
    if "points" not in config.data.model_fields_set:
        sizes["points"] = data.points
    changes = {
        "model": towers.config.model,
        "data": config.data.model_copy(update=sizes),
    }
    try:
        changed = Config.model_validate(config.model_copy(update=changes).model_dump())
    except ValidationError as error:
        raise UserError(f"{FLAG} {name}: {error.errors()[0]['msg']}") from None
    logger.info("begins from %s, with its networks and its size of images", path)
    return towers, changed


def _initial_networks(config: Config, towers: TrainedTowers | None) -> Collection[str]:
    """Networks of the weights that training begins with, or of the run that goes on."""
    if towers is not None:
        return towers.networks
    source = config.training.resume_from
    checkpoint = resume_point(Path(source), config)[1] if source else None
    return load_weights(checkpoint).networks if checkpoint else ()


class System(EngineSystem[Config]):
    """Encoders of images, shapes and texts into one space, trained by contrastive losses."""

    name = "retrieval"
    monitor_mode = "max"

    def __init__(self, config: Config, dataset: RetrievalDataset | None = None):
        towers: TrainedTowers | None = None
        if config.training.initial_weights and not config.training.resume_from:
            towers, config = begin_from(config)
        super().__init__(config)
        data, model, training = config.data, config.model, config.training
        # Before the dataset: a wrong name is refused at once, not after minutes of preparation.
        encoder = load_text_encoder(model.text_encoder) if model.text_encoder else None
        self.feature_source: dict[str, str] = {}
        if dataset is None:
            dataset, self.feature_source = load_dataset(config)
            logger.info("%s", ", ".join(f"{k} {v}" for k, v in describe(dataset).items()))
        self.dataset, self.captions = dataset, CaptionEmbeddings(dataset, encoder)
        self.batches_of = {
            split: Batches(dataset, dataset.rows(split), self.captions, data)
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
        self.memory: CrossBatchMemory | None = None
        if training.memory_size:
            self.memory = CrossBatchMemory(training.memory_size, model.emb_dim)
            self.stateful["memory"] = self.memory
        self.monitor = f"val/{config.metrics.monitor}"

        # References without the engine's wrappers, for methods and attributes of the networks.
        feature_dim = 0 if dataset.features is None else dataset.features.shape[-1]
        self.image_tower = build_image_tower(model, feature_dim)
        self.point_encoder = build_point_encoder(model)
        if model.point_weights:
            path = model.point_weights
            load_into(self.point_encoder, official_state(read(path), path), path)
        self.scale = LogitScale(training.temperature, learned=training.learn_temperature)
        self.networks = {"images": self.image_tower, "points": self.point_encoder}
        if not training.uses_points:
            self.point_encoder.requires_grad_(False)
        if training.uses_text or TEXTS in _initial_networks(config, towers):
            self.networks[TEXTS] = build_text_tower(model, self.captions.dim)
            self.networks[TEXTS].requires_grad_(training.uses_text)
        if towers is not None:
            for name, network in towers.networks.items():
                self.networks[name].load_state_dict(network.state_dict())
        self.networks["scale"] = self.scale
        self.optimizers = {"main": self._optimizer()}
        self.hooks = [SaveBestRecall(config.metrics.save_checkpoint_at_recall_k)]
        if not training.warmup_steps and training.warmup_epochs:
            steps = round(training.warmup_epochs * len(self.loader))
            training = training.model_copy(update={"warmup_steps": steps})
        self.config: Config = config.model_copy(update={"training": training})

    def load_initial_weights(self) -> None:
        """Nothing: the networks were built with them, in their sizes."""

    def _optimizer(self) -> torch.optim.Optimizer:
        """AdamW with four groups: heads and point encoder, each with and without weight decay."""
        training = self.config.training
        factor, decay = training.head_lr_factor, training.weight_decay
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, network in self.networks.items():
            rate = training.lr * (1 if name == "points" else factor)
            for key, parameter in network.named_parameters():
                if parameter.requires_grad:
                    no_decay = parameter.ndim < 2 or "global_query" in key
                    groups.setdefault((rate, 0.0 if no_decay else decay), []).append(parameter)
        return torch.optim.AdamW(
            [
                {"params": parameters, "lr": rate, "weight_decay": decay}
                for (rate, decay), parameters in groups.items()
            ],
            lr=training.lr,
            fused=True,
        )

    def step(self, batch: dict[str, Tensor], update: Update) -> dict[str, float | Tensor]:
        training, networks = self.config.training, self.networks
        images = batch["images"]
        embeddings, balance = networks["images"](images.flatten(0, 1))
        views = embeddings.unflatten(0, images.shape[:2])
        points = views[:, 0].detach()
        if training.uses_points:
            points = networks["points"](batch["points"], batch["colors"])
        texts = networks["texts"](batch["texts"]) if training.uses_text else None
        scale, object_ids = networks["scale"](), gather_with_gradient(batch["object"])
        all_views = gather_with_gradient(views)
        memory = self.memory.negatives(object_ids) if self.memory is not None else None
        losses = retrieval_loss(
            all_views, points, texts, batch["caption"], scale, balance, training, memory
        )
        update(losses["loss"])
        if self.memory is not None:
            self.memory.add(all_views, object_ids)
        with torch.no_grad():
            nearest = (views[:, 0].float() @ points.float().T).argmax(1)
            labels = torch.arange(len(nearest), device=nearest.device)
            recall = (nearest == labels).float().mean()
        metrics: dict[str, float | Tensor] = {**losses, "img2pc_recall@1": recall}
        if training.learn_temperature:
            metrics["temperature"] = 1 / scale.detach()
        return metrics

    def evaluate(self, split: str = "val") -> dict[str, float]:
        """Recalls in both directions over the objects of a split, and the loss of one pass."""
        batches, ks = self.batches_of[split], self.config.metrics.k_list_for_recalls
        rows = batches.rows[:EVALUATED_OBJECTS] if split == "train" else batches.rows
        if len(rows) < 2:
            return {}
        images, points = self._embed(batches, rows)
        parts = both_directions(images, points, ks)
        texts, relevant = self._embed_captions(rows)
        if len(texts):
            parts["text2pc"] = text_to(texts, relevant, points, ks)
            parts["text2img"] = text_to(texts, relevant, mean_view(images), ks)
        metrics = {"loss": self._evaluation_loss(images, points)}
        for name, values in parts.items():
            metrics |= {f"{name}_{key}": value for key, value in values.items()}
        for k in ks:
            recalls = metrics[f"img2pc_recall@{k}"], metrics[f"pc2img_recall@{k}"]
            metrics[f"recall@{k}"] = sum(recalls) / 2
        return metrics

    def _embed(self, batches: Batches, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        images, points = self.networks["images"], self.networks["points"]
        return embed_objects(batches, rows, images, points, self.device)

    def _evaluation_loss(self, images: Tensor, points: Tensor) -> float:
        """Loss of images and shapes, in batches as large as those of training."""
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

    def _embed_captions(self, rows: np.ndarray) -> tuple[Tensor, list[list[int]]]:
        """Embeddings of the captions of some objects, and the indices in `rows` that have each."""
        relevant: dict[int, list[int]] = {}
        for index, row in enumerate(rows):
            for caption in self.captions.by_object[row]:
                relevant.setdefault(caption, []).append(index)
        if "texts" not in self.networks or not relevant:
            return torch.empty(0), []
        texts = self.captions.embeddings[list(relevant)].to(self.device)
        return self.networks[TEXTS](texts).float().cpu(), list(relevant.values())

    def sample(self, folder: Path, step: int) -> None:
        """Draw images of held-out objects beside the objects that they find."""
        split = "val" if len(self.batches_of["val"]) > 1 else "train"
        batches = self.batches_of[split]
        rows = batches.rows[:SHEET_GALLERY]
        images, points = self._embed(batches, rows)
        similarities = similarity(images[:SHEET_QUERIES, 0], points)
        path = folder / f"step_{step:07d}.png"
        save_result_sheet(self.dataset, rows, similarities, path)
