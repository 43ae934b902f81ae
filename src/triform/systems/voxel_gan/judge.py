"""A classifier of real voxels into the ten groups, trained apart from the generator.

It never sees a generated shape and the generator never sees it. `evaluate` asks it whether a
shape made from a prompt looks like the prompt's group.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from triform.base.errors import UserError
from triform.base.seeding import seed_everything
from triform.engine.building import build_network
from triform.engine.checkpoint import load_weights
from triform.engine.fit import fit
from triform.engine.protocol import System as EngineSystem
from triform.engine.sampler import EpochLoader
from triform.engine.update import Update
from triform.pretrained.weights import shipped
from triform.systems.voxel_gan.config import JudgeConfig
from triform.systems.voxel_gan.data import Objects, load_objects
from triform.systems.voxel_gan.groups import GROUPS, group_of

JUDGE_SIZE = 32
SHIPPED_JUDGE = "voxel_judge"


class Judge(nn.Module):
    """Occupancy (B, 1, 32, 32, 32) to logits (B, 10), in the order of `GROUPS`."""

    def __init__(self, channels: int = 24, dropout_rate: float = 0.3):
        super().__init__()
        layers: list[nn.Module] = []
        widths = [1, channels, 2 * channels, 4 * channels]
        for narrow, wide in pairwise(widths):
            # kernel 4, stride 2: no 3x3x3 convolution ever meets a map of 2^3
            layers += [nn.Conv3d(narrow, wide, 4, 2, 1), nn.GroupNorm(8, wide), nn.SiLU()]
        self.features = nn.Sequential(*layers)
        self.classify = nn.Sequential(
            nn.Flatten(), nn.Dropout(dropout_rate), nn.Linear(widths[-1] * 4**3, len(GROUPS))
        )

    def forward(self, voxels: Tensor) -> Tensor:
        return self.classify(self.features(voxels))


def judge_view(grids: Tensor) -> Tensor:
    """Occupancy (B, 1, R, R, R) as the judge sees it: 32^3, a voxel counts where any part does."""
    size = grids.shape[-1]
    if size == JUDGE_SIZE:
        return grids
    if size % JUDGE_SIZE == 0:
        return F.max_pool3d(grids, size // JUDGE_SIZE)
    return (F.interpolate(grids, JUDGE_SIZE, mode="trilinear") > 0.5).float()


class JudgeBatches:
    """Voxels and group numbers: `fetch(indices, generator)`."""

    def __init__(self, objects: Objects, split: str, *, augment: bool):
        groups = [
            group_of(captions[0] if captions else "", category)
            for captions, category in zip(objects.captions, objects.categories, strict=True)
        ]
        names = list(GROUPS)
        rows = [row for row in objects.rows(split) if groups[objects.owner[row]] is not None]
        self.objects, self.augment = objects, augment
        self.rows = np.asarray(rows, dtype=np.int64)
        labels = [names.index(str(groups[objects.owner[row]])) for row in rows]
        self.labels = torch.tensor(labels, dtype=torch.int64)

    def __len__(self) -> int:
        return len(self.rows)

    def __call__(self, indices: Any, generator: torch.Generator) -> dict[str, Tensor]:
        voxels = judge_view(self.objects.voxels(self.rows[list(indices)]))
        if self.augment:
            draws = torch.rand(2, len(voxels), generator=generator)
            voxels[draws[0] < 0.5] = voxels[draws[0] < 0.5].flip(2)
            shifts = (draws[1] * 3).long() - 1
            for shift in (-1, 1):  # one voxel up or down, wherever there is room
                moved = shifts == shift
                voxels[moved] = torch.roll(voxels[moved], shift, dims=3)
        return {"voxels": voxels, "labels": self.labels[list(indices)]}


class JudgeSystem(EngineSystem):
    """Plain supervised training of the judge, groups weighted so that each counts the same."""

    name = "voxel_judge"
    monitor = "val/loss"

    def __init__(self, config: JudgeConfig, objects: Objects | None = None):
        super().__init__(config)
        seed_everything(config.seed)  # the network's first weights
        objects = load_objects(config.data) if objects is None else objects
        self.train_batches = JudgeBatches(objects, "train", augment=True)
        self.splits = {
            split: JudgeBatches(objects, split, augment=False) for split in ("train", "val", "test")
        }
        if not len(self.train_batches):
            raise UserError("--dataset: none of its names belongs to one of the ten groups")
        counts = torch.bincount(self.train_batches.labels, minlength=len(GROUPS)).clamp(min=1)
        self.weights = len(self.train_batches) / (len(GROUPS) * counts.float())
        self.loader = EpochLoader(
            len(self.train_batches),
            self.train_batches,
            batch_size=config.data.batch_size,
            seed=config.seed,
        )
        self.stateful = {"loader": self.loader}
        judge = Judge()
        self.networks = {"judge": judge}
        training = config.training
        self.optimizers = {
            "main": torch.optim.AdamW(
                judge.parameters(), lr=training.lr, weight_decay=training.weight_decay
            )
        }

    @property
    def num_batches(self) -> int:
        return len(self.loader)

    def batches(self) -> Iterator[dict[str, Tensor]]:
        return iter(self.loader)

    def step(self, batch: dict[str, Tensor], update: Update) -> dict[str, float | Tensor]:
        logits = self.networks["judge"](batch["voxels"]).float()
        loss = F.cross_entropy(
            logits, batch["labels"], weight=self.weights.to(logits.device), label_smoothing=0.1
        )
        update(loss)
        return {"loss": loss, "accuracy": (logits.argmax(1) == batch["labels"]).float().mean()}

    def evaluate(self, split: str = "val") -> dict[str, float]:
        batches = self.splits[split]
        if not len(batches):
            return {}
        everything = batches(range(len(batches)), torch.Generator())
        logits = self.networks["judge"](everything["voxels"].to(self.device)).float().cpu()
        labels = everything["labels"]
        return {
            "loss": float(F.cross_entropy(logits, labels)),
            "accuracy": float((logits.argmax(1) == labels).float().mean()),
        }


def train_judge(config: JudgeConfig) -> dict[str, Any]:
    """Train the judge, and say how often it is right on objects it has not seen."""
    system = JudgeSystem(config)
    result = fit(system, config)
    return {"run": str(result.run_dir), **result.metrics}


def load_judge(path: Path | None = None) -> Judge:
    """The judge that comes with the project, or another one."""
    path = path or shipped(SHIPPED_JUDGE)
    weights, _ = load_weights(path)
    if "judge" not in weights:
        raise UserError(f"{path}: no weights of a judge in it")
    return build_network(Judge, weights["judge"], path, "judge")
