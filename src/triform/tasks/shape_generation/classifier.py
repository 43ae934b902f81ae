"""Network that sorts voxels into the ten groups, by which generated shapes are measured.

`triform voxel_gan train_classifier` trains it. The weights `voxel_classifier` were trained on the
training shapes of the generators; `shape_classifier` on their validation and test shapes, which no
generator was trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from triform.base.errors import UserError
from triform.engine.checkpoints.building import build_networks
from triform.engine.checkpoints.checkpoint import load_weights
from triform.geometry.mesh import Mesh
from triform.geometry.voxels.voxelize import voxelize
from triform.pretrained import shipped_weights
from triform.tasks.shape_generation.categories import GROUPS

CLASSIFIER_SIZE = 32
SYSTEM = "voxel_classifier"
SHIPPED = "shape_classifier"
MESH_RESOLUTION = 64
BATCH_SIZE = 32


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


class ShapeClassifier:
    """The trained classifier, for meshes.

    Attributes:
        network: Occupancy to logits.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network.eval()

    @classmethod
    def load(cls, checkpoint: str | Path | None = None) -> ShapeClassifier:
        """Load the weights of a file, by default those that ship.

        Raises:
            UserError: No such file, or not a classifier.
        """
        path = shipped_weights.shipped(SHIPPED) if checkpoint is None else Path(checkpoint)
        weights = load_weights(path)
        if weights.system != SYSTEM:
            raise UserError(f"{path}: weights of system {weights.system}, not of {SYSTEM}")
        networks = build_networks(lambda: {"classifier": VoxelClassifier()}, weights.networks, path)
        return cls(networks["classifier"])

    @torch.no_grad()
    def groups(self, meshes: Sequence[Mesh | None]) -> list[str]:
        """Predicted group of each mesh; "" of None, an empty shape."""
        present = [index for index, mesh in enumerate(meshes) if mesh is not None]
        groups = [""] * len(meshes)
        for start in range(0, len(present), BATCH_SIZE):
            indices = present[start : start + BATCH_SIZE]
            voxels = [_occupancy(meshes[index]) for index in indices]
            inputs = classifier_input(torch.from_numpy(np.stack(voxels))[:, None])
            for index, label in zip(indices, self.network(inputs).argmax(1).tolist(), strict=True):
                groups[index] = list(GROUPS)[label]
        return groups


def _occupancy(mesh: Mesh | None) -> np.ndarray:
    assert mesh is not None
    return voxelize(mesh, MESH_RESOLUTION).astype(np.float32)
