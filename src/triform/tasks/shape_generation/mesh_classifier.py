"""The classifier of voxels, for meshes of any generator.

The weights `voxel_classifier` were trained on the training shapes of the generators;
`shape_classifier` on their validation and test shapes, which no generator was trained on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from triform.geometry.mesh import Mesh
from triform.geometry.voxels.voxelize import voxelize
from triform.tasks.shape_generation.categories import GROUPS
from triform.tasks.shape_generation.voxel_classifier import (
    TrainedClassifier,
    VoxelClassifier,
    classifier_input,
)

MESH_RESOLUTION = 64
BATCH_SIZE = 32


class TrainedOnHeldOut(TrainedClassifier):
    """The classifier of objects that no generator was trained on."""

    shipped = "shape_classifier"


class MeshClassifier:
    """Sorts meshes into the groups.

    Attributes:
        network: Occupancy (B, 1, 32, 32, 32) to logits (B, 10).
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network.eval()

    @torch.no_grad()
    def groups(self, meshes: Sequence[Mesh | None]) -> list[str]:
        """Predicted group of each mesh; "" of None, an empty shape."""
        present = [(index, mesh) for index, mesh in enumerate(meshes) if mesh is not None]
        groups = [""] * len(meshes)
        for start in range(0, len(present), BATCH_SIZE):
            batch = present[start : start + BATCH_SIZE]
            voxels = np.stack([voxelize(mesh, MESH_RESOLUTION) for _, mesh in batch])
            logits = self.network(classifier_input(torch.from_numpy(voxels)[:, None].float()))
            for (index, _), label in zip(batch, logits.argmax(1).tolist(), strict=True):
                groups[index] = list(GROUPS)[label]
        return groups


def load_mesh_classifier(checkpoint: str | None = None) -> MeshClassifier:
    """The classifier of a checkpoint, by default of the weights `shape_classifier`.

    Raises:
        UserError: No such file, or not a classifier.
    """
    network: VoxelClassifier = TrainedOnHeldOut.choose(checkpoint, "cpu").classifier
    return MeshClassifier(network)
