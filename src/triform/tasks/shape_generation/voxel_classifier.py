"""The classifier of voxels into ten groups, by which agreement with prompts is measured.

`triform voxel_gan train_classifier` trains it, on real shapes and apart from every generator.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn

from triform.base.errors import UserError
from triform.engine.checkpoints.checkpoint import StateDicts, Weights, load_weights
from triform.engine.checkpoints.trained import TrainedModel
from triform.engine.config import SystemConfig
from triform.tasks.shape_generation.categories import GROUPS

SYSTEM = "voxel_classifier"
CLASSIFIER_SIZE = 32


class VoxelClassifier(nn.Module):
    """Occupancy (B, 1, 32, 32, 32) to logits (B, 10), in the order of `GROUPS`."""

    def __init__(self, channels: int = 24, dropout_rate: float = 0.3):
        super().__init__()
        layers: list[nn.Module] = []
        widths = [1, channels, 2 * channels, 4 * channels]
        for in_channels, out_channels in pairwise(widths):
            # kernel 4, stride 2: no 3x3x3 convolution at 2^3
            layers.append(nn.Conv3d(in_channels, out_channels, 4, 2, 1))
            layers += [nn.GroupNorm(8, out_channels), nn.SiLU()]
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.Flatten(), nn.Dropout(dropout_rate), nn.Linear(widths[-1] * 4**3, len(GROUPS))
        )

    def forward(self, voxels: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(voxels))
        return logits


def classifier_input(voxels: Tensor) -> Tensor:
    """Resample occupancy (B, 1, R, R, R) to 32^3; max pooling keeps thin parts."""
    size = voxels.shape[-1]
    if size == CLASSIFIER_SIZE:
        return voxels
    if size % CLASSIFIER_SIZE == 0:
        return F.max_pool3d(voxels, size // CLASSIFIER_SIZE)
    return (F.interpolate(voxels, CLASSIFIER_SIZE, mode="trilinear") > 0.5).float()


class TrainedClassifier(TrainedModel[SystemConfig]):
    """The classifier of a weights file, by default of the one that ships."""

    system = SYSTEM
    config_class = SystemConfig

    def read(self, path: Path) -> tuple[Weights, SystemConfig]:
        """Read weights; the settings of their training bear on nothing here.

        Raises:
            UserError: Not such a file, or weights of another system.
        """
        weights = load_weights(path)
        if weights.system != self.system:
            raise UserError(f"{path}: weights of system {weights.system}, not of {self.system}")
        return weights, SystemConfig()

    def build(self, tensors: StateDicts) -> Mapping[str, nn.Module]:
        self.classifier = VoxelClassifier()
        return {"classifier": self.classifier}


def load_classifier(checkpoint: str | None = None) -> VoxelClassifier:
    """The classifier of a checkpoint, on the CPU; the one that ships by default.

    Raises:
        UserError: No such file, or not a classifier.
    """
    return TrainedClassifier.choose(checkpoint, "cpu").classifier
