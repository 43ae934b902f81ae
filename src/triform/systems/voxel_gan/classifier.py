"""A classifier of real voxels into the ten groups, trained apart from the generator.

Neither is trained on the other's shapes. `evaluate` measures by it whether a generated shape agrees
with the group of its prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from triform.base.errors import UserError
from triform.engine import verbs
from triform.engine.epoch_loader import EpochLoader
from triform.engine.optimizers import adamw
from triform.engine.protocol import System
from triform.engine.update import Update
from triform.systems.voxel_gan.config import ClassifierConfig
from triform.systems.voxel_gan.data import VoxelDataset, load_voxel_dataset
from triform.tasks.shape_generation.categories import GROUPS, group_of
from triform.tasks.shape_generation.voxel_classifier import (
    SYSTEM,
    VoxelClassifier,
    classifier_input,
)


class ClassifierBatches:
    """Batches of `voxels` (B, 1, 32, 32, 32) and `labels` (B,): `fetch(indices, generator)`.

    Shapes that belong to no group are left out.
    """

    def __init__(self, dataset: VoxelDataset, split: str | Sequence[str], *, augment: bool):
        splits = (split,) if isinstance(split, str) else split
        groups = [
            group_of(captions[0] if captions else "", category)
            for captions, category in zip(dataset.captions, dataset.categories, strict=True)
        ]
        names = list(GROUPS)
        rows = [
            row
            for name in splits
            for row in dataset.rows(name)
            if groups[dataset.shape_index[row]] is not None
        ]
        self.dataset, self.augment = dataset, augment
        self.rows = np.asarray(rows, dtype=np.int64)
        labels = [names.index(str(groups[dataset.shape_index[row]])) for row in rows]
        self.labels = torch.tensor(labels, dtype=torch.int64)

    def __len__(self) -> int:
        return len(self.rows)

    def __call__(self, indices: Sequence[int], generator: torch.Generator) -> dict[str, Tensor]:
        voxels = classifier_input(self.dataset.voxels(self.rows[list(indices)]))
        if self.augment:
            draws = torch.rand(2, len(voxels), generator=generator)
            voxels[draws[0] < 0.5] = voxels[draws[0] < 0.5].flip(2)
            shifts = (draws[1] * 3).long() - 1
            for shift in (-1, 1):  # one voxel up or down
                selected = shifts == shift
                voxels[selected] = torch.roll(voxels[selected], shift, dims=3)
        return {"voxels": voxels, "labels": self.labels[list(indices)]}


class ClassifierSystem(System[ClassifierConfig]):
    """Supervised training of the classifier with a cross-entropy weighted by group."""

    name = SYSTEM
    monitor = "val/loss"

    def __init__(self, config: ClassifierConfig, dataset: VoxelDataset | None = None):
        super().__init__(config)
        dataset = load_voxel_dataset(config.data) if dataset is None else dataset
        splits = config.split_names
        self.train_batches = ClassifierBatches(dataset, splits["train"], augment=True)
        self.splits = {
            split: ClassifierBatches(dataset, names, augment=False)
            for split, names in splits.items()
        }
        if not len(self.train_batches):
            raise UserError("--dataset: none of its names belongs to one of the ten groups")
        counts = torch.bincount(self.train_batches.labels, minlength=len(GROUPS)).clamp(min=1)
        self.class_weights = len(self.train_batches) / (len(GROUPS) * counts.float())
        self.loader = EpochLoader(
            len(self.train_batches),
            self.train_batches,
            batch_size=config.data.batch_size,
            seed=config.seed,
        )
        classifier = VoxelClassifier()
        self.networks = {"classifier": classifier}
        self.optimizers = {"main": adamw(classifier.parameters(), config.training)}

    def step(self, batch: dict[str, Tensor], update: Update) -> dict[str, float | Tensor]:
        logits = self.networks["classifier"](batch["voxels"]).float()
        loss = F.cross_entropy(
            logits,
            batch["labels"],
            weight=self.class_weights.to(logits.device),
            label_smoothing=0.1,
        )
        update(loss)
        return {"loss": loss, "accuracy": (logits.argmax(1) == batch["labels"]).float().mean()}

    def evaluate(self, split: str = "val") -> dict[str, float]:
        batches = self.splits[split]
        if not len(batches):
            return {}
        batch = batches(range(len(batches)), torch.Generator())
        logits = self.networks["classifier"](batch["voxels"].to(self.device)).float().cpu()
        return {
            "loss": float(F.cross_entropy(logits, batch["labels"])),
            "accuracy": float((logits.argmax(1) == batch["labels"]).float().mean()),
        }


def train_classifier(config: ClassifierConfig) -> dict[str, Any]:
    """Train the classifier, and report its accuracy on held-out shapes."""
    return verbs.train(ClassifierSystem, config)
