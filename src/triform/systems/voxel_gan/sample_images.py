"""Images of generated and reconstructed voxels, for the samples of a run and for contact sheets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor

from triform.geometry.mesh import MeshError
from triform.geometry.voxels.surface import voxels_to_mesh
from triform.images.contact_sheet import save_contact_sheet
from triform.tasks.shape_generation.mesh_output import draw_mesh


def draw_voxels(voxels: np.ndarray) -> np.ndarray:
    """Render occupancy (R, R, R) in [0, 1]; an empty tile where it has no surface."""
    try:
        return draw_mesh(voxels_to_mesh(voxels) if voxels.max() > 0.5 else None)
    except MeshError:
        return draw_mesh(None)


def draw_reconstructions(voxels: Tensor, reconstructions: Tensor, path: Path) -> None:
    """Write originals (N, 1, R, R, R) above their reconstructions as a contact sheet."""
    rows = [*voxels[:, 0].numpy(), *reconstructions[:, 0].numpy()]
    labels = ["original"] * len(voxels) + ["reconstruction"] * len(voxels)
    images = [draw_voxels(shape) for shape in rows]
    save_contact_sheet(images, labels, path, columns=len(voxels))
