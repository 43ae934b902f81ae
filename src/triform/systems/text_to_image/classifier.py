"""A classifier of what real images show, trained apart from the generator and from the CLIP.

It is trained on the images of all splits, held-out ones included, which the generator never saw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from timm.models.resnet import BasicBlock, ResNet
from torch import Tensor, nn
from torch.nn import functional as F

from triform.base.errors import UserError
from triform.base.seeding import generator
from triform.datasets.captioned.table import CaptionTable
from triform.engine import verbs
from triform.engine.checkpoints.checkpoint import StateDicts
from triform.engine.checkpoints.trained import TrainedModel
from triform.engine.epoch_loader import EpochLoader
from triform.engine.optimizers import adamw
from triform.engine.protocol import System
from triform.engine.update import Update
from triform.images.read import on_background
from triform.systems.text_to_image.config import ClassifierConfig
from triform.systems.text_to_image.data import load_table
from triform.tasks.contrastive.augmentation import jitter
from triform.tasks.contrastive.images import resize, to_tensor

VAL_SHARE = 0.05
BATCH_SIZE = 200


def image_labels(table: CaptionTable) -> tuple[str, ...]:
    """What each image shows: its known content, or else its first caption."""
    if table.contents:
        return tuple(map(str, table.contents))
    return tuple(captions[0] for captions in table.captions)


class ClassifierSystem(System[ClassifierConfig]):
    """Supervised training of a small ResNet (arXiv:1512.03385).

    Batches:

    | key | shape and type | values |
    |---|---|---|
    | `images` | (B, 3, S, S) float32 | RGB in [0, 1] |
    | `labels` | (B) int64 | index of the class |
    """

    name = "image_classifier"
    monitor = "val/accuracy"
    monitor_mode = "max"

    def __init__(self, config: ClassifierConfig):
        super().__init__(config)
        self.table = load_table(config.data, config.seed)
        names = image_labels(self.table)
        self.classes = tuple(sorted(set(names)))
        if len(self.classes) < 2:
            raise UserError(f"dataset {self.table.name}: all images show the same, nothing to tell")
        index = {name: number for number, name in enumerate(self.classes)}
        self.labels = torch.tensor([index[name] for name in names])
        order = torch.randperm(len(names), generator=generator("classifier", config.seed)).numpy()
        count = max(2, round(VAL_SHARE * len(order)))
        self.rows = {"val": np.sort(order[:count]), "train": np.sort(order[count:])}
        size = config.data.image_size
        self._pixels = np.stack(
            [
                resize(on_background(Image.fromarray(self.table.images.image(row))), size)
                for row in range(len(self.table))
            ]
        )
        self.loader = EpochLoader(
            len(self.rows["train"]),
            self.fetch,
            batch_size=config.data.batch_size,
            seed=config.seed,
            drop_last=len(self.rows["train"]) >= config.data.batch_size,
        )
        self.classifier = build_classifier(len(self.classes), config.training.width)
        self.networks = {"classifier": self.classifier}
        self.optimizers = {"main": adamw(self.classifier.parameters(), config.training)}

    def fetch(self, indices: Sequence[int], random: torch.Generator) -> dict[str, Tensor]:
        """A training batch, for the engine's loader."""
        rows = self.rows["train"][list(indices)]
        images = jitter(to_tensor(self._pixels[rows]), self.config.training.jitter, random)
        return {"images": images, "labels": self.labels[rows]}

    def metadata(self) -> dict[str, Any]:
        return {"classes": list(self.classes)}

    def step(self, batch: dict[str, Tensor], update: Update) -> dict[str, Tensor]:
        logits = self.networks["classifier"](2 * batch["images"] - 1).float()
        loss = F.cross_entropy(logits, batch["labels"], label_smoothing=0.1)
        update(loss)
        return {"loss": loss, "accuracy": (logits.argmax(1) == batch["labels"]).float().mean()}

    def evaluate(self, split: str = "val") -> dict[str, float]:
        rows = self.rows.get(split, self.rows["val"])
        parts = np.array_split(rows, -(-len(rows) // BATCH_SIZE))
        logits = torch.cat(
            [
                self.classifier(2 * to_tensor(self._pixels[part]).to(self.device) - 1).cpu().float()
                for part in parts
            ]
        )
        labels = self.labels[rows]
        return {
            "loss": float(F.cross_entropy(logits, labels)),
            "accuracy": float((logits.argmax(1) == labels).float().mean()),
        }


def build_classifier(num_classes: int, width: int) -> nn.Module:
    """ResNet of four stages of one block, from (B, 3, S, S) in [-1, 1] to logits."""
    return ResNet(
        BasicBlock,  # type: ignore[arg-type]  # the library means the class
        layers=(1, 1, 1, 1),
        channels=(width, 2 * width, 4 * width, 8 * width),
        stem_type="deep",
        stem_width=width // 2,
        num_classes=num_classes,
    )


def train_classifier(config: ClassifierConfig) -> dict[str, Any]:
    """Train the classifier, and report its accuracy on held-out images."""
    return verbs.train(ClassifierSystem, config)


class TrainedClassifier(TrainedModel[ClassifierConfig]):
    """A trained classifier of images.

    Attributes:
        classes: Names of the classes.
        classifier: The network.
    """

    system = ClassifierSystem.name
    config_class = ClassifierConfig

    def build(self, tensors: StateDicts) -> Mapping[str, nn.Module]:
        self.classes = tuple(map(str, self.metadata["classes"]))
        self.classifier = build_classifier(len(self.classes), self.config.training.width)
        return {"classifier": self.classifier}

    @torch.inference_mode()
    def predict(self, images: Tensor) -> list[str]:
        """Names of the classes of RGB images (N, 3, S, S) uint8."""
        size = self.config.data.image_size
        names = []
        for part in images.split(BATCH_SIZE):
            pixels = np.stack([resize(image, size) for image in part.permute(0, 2, 3, 1).numpy()])
            logits = self.classifier(2 * to_tensor(pixels).to(self.device) - 1)
            names += [self.classes[index] for index in logits.argmax(1).tolist()]
        return names
