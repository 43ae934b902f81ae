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
from triform.tasks.captioning.data import load_table
from triform.tasks.contrastive.augmentation import jitter
from triform.tasks.contrastive.images import resize, to_tensor

VAL_SHARE = 0.05
BATCH_SIZE = 200


Labels = tuple[str, ...]
"""What an image shows, a name for each attribute."""


def image_labels(table: CaptionTable) -> tuple[Labels, ...]:
    """What each image shows: its attributes; or one, its known content or else its caption."""
    if table.attributes:
        return tuple(tuple(map(str, content)) for content in table.contents)  # type: ignore[call-overload]
    if table.contents:
        return tuple((str(content),) for content in table.contents)
    return tuple((captions[0],) for captions in table.captions)


class ClassifierSystem(System[ClassifierConfig]):
    """Supervised training of a small ResNet (arXiv:1512.03385), with a softmax per attribute.

    Batches:

    | key | shape and type | values |
    |---|---|---|
    | `images` | (B, 3, S, S) float32 | RGB in [0, 1] |
    | `labels` | (B, A) int64 | index of the class of each attribute |
    """

    name = "image_classifier"
    monitor = "val/accuracy"
    monitor_mode = "max"

    def __init__(self, config: ClassifierConfig):
        super().__init__(config)
        self.table = load_table(config.data, config.seed, alpha=config.data.alpha)
        labels = image_labels(self.table)
        names = [sorted(set(column)) for column in zip(*labels, strict=True)]
        self.classes = tuple(map(tuple, names))
        if max(map(len, self.classes)) < 2:
            raise UserError(f"dataset {self.table.name}: all images show the same, nothing to tell")
        indices = [{name: index for index, name in enumerate(each)} for each in self.classes]
        self.labels = torch.tensor(
            [[index[name] for index, name in zip(indices, row, strict=True)] for row in labels]
        )
        order = torch.randperm(len(labels), generator=generator("classifier", config.seed)).numpy()
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
        self.classifier = build_classifier(self.classes, config.training.width)
        self.networks = {"classifier": self.classifier}
        self.optimizers = {"main": adamw(self.classifier.parameters(), config.training)}

    def fetch(self, indices: Sequence[int], random: torch.Generator) -> dict[str, Tensor]:
        """A training batch, for the engine's loader."""
        rows = self.rows["train"][list(indices)]
        images = jitter(to_tensor(self._pixels[rows]), self.config.training.jitter, random)
        return {"images": images, "labels": self.labels[rows]}

    def metadata(self) -> dict[str, Any]:
        return {"classes": [list(names) for names in self.classes]}

    def step(self, batch: dict[str, Tensor], update: Update) -> dict[str, Tensor]:
        logits = self._logits(self.networks["classifier"], batch["images"])
        loss = _mean_loss(logits, batch["labels"], label_smoothing=0.1)
        update(loss)
        return {"loss": loss, "accuracy": _accuracy(logits, batch["labels"])}

    def _logits(self, network: nn.Module, images: Tensor) -> tuple[Tensor, ...]:
        """Logits (B, classes) of each attribute."""
        logits: tuple[Tensor, ...] = (
            network(2 * images - 1).float().split([len(names) for names in self.classes], 1)
        )
        return logits

    def evaluate(self, split: str = "val") -> dict[str, float]:
        rows = self.rows.get(split, self.rows["val"])
        parts = np.array_split(rows, -(-len(rows) // BATCH_SIZE))
        parts_of = [
            self._logits(self.classifier, to_tensor(self._pixels[part]).to(self.device))
            for part in parts
        ]
        logits = tuple(torch.cat(each).cpu() for each in zip(*parts_of, strict=True))
        labels = self.labels[rows]
        return {
            "loss": float(_mean_loss(logits, labels)),
            "accuracy": float(_accuracy(logits, labels)),
        }


def _mean_loss(logits: Sequence[Tensor], labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy over attributes."""
    losses = [
        F.cross_entropy(each, labels[:, index], label_smoothing=label_smoothing)
        for index, each in enumerate(logits)
    ]
    return torch.stack(losses).mean()


def _accuracy(logits: Sequence[Tensor], labels: Tensor) -> Tensor:
    """Share of images all of whose attributes are right."""
    predictions = torch.stack([each.argmax(1) for each in logits], dim=1)
    return (predictions == labels).all(1).float().mean()


def build_classifier(classes: Sequence[Sequence[str]], width: int) -> nn.Module:
    """ResNet of four stages of one block, from (B, 3, S, S) in [-1, 1] to logits.

    The features of each quarter are joined, because some attributes are about places. The logits
    of all attributes stand behind each other.
    """
    network = ResNet(
        BasicBlock,  # type: ignore[arg-type]  # the library means the class
        layers=(1, 1, 1, 1),
        channels=(width, 2 * width, 4 * width, 8 * width),
        stem_type="deep",
        stem_width=width // 2,
        num_classes=0,
        global_pool="",
    )
    head = nn.Linear(4 * 8 * width, sum(map(len, classes)))
    return nn.Sequential(network, nn.AdaptiveAvgPool2d(2), nn.Flatten(), head)


def train_classifier(config: ClassifierConfig) -> dict[str, Any]:
    """Train the classifier, and report its accuracy on held-out images."""
    return verbs.train(ClassifierSystem, config)


class TrainedClassifier(TrainedModel[ClassifierConfig]):
    """A trained classifier of images.

    Attributes:
        classes: Names of the classes of each attribute.
        classifier: The network.
    """

    system = ClassifierSystem.name
    config_class = ClassifierConfig

    def build(self, tensors: StateDicts) -> Mapping[str, nn.Module]:
        self.classes = tuple(tuple(map(str, names)) for names in self.metadata["classes"])
        self.classifier = build_classifier(self.classes, self.config.training.width)
        return {"classifier": self.classifier}

    def knows(self, labels: Labels) -> bool:
        """Whether it was trained on all of these attributes."""
        return len(labels) == len(self.classes) and all(
            name in names for name, names in zip(labels, self.classes, strict=True)
        )

    @torch.inference_mode()
    def predict(self, images: Tensor) -> list[Labels]:
        """Names of the attributes of RGB images (N, 3, S, S) uint8."""
        size, sizes = self.config.data.image_size, [len(names) for names in self.classes]
        labels: list[Labels] = []
        for part in images.split(BATCH_SIZE):
            pixels = np.stack([resize(image, size) for image in part.permute(0, 2, 3, 1).numpy()])
            logits = self.classifier(2 * to_tensor(pixels).to(self.device) - 1)
            indices = torch.stack([each.argmax(1) for each in logits.split(sizes, 1)], 1).tolist()
            labels += [
                tuple(names[index] for names, index in zip(self.classes, row, strict=True))
                for row in indices
            ]
        return labels
