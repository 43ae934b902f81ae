"""Voxel grids as pictures, for the samples of a run and the sheets of the verbs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from triform.base.files import atomic_write
from triform.geometry.mesh import Mesh, MeshError
from triform.geometry.render import render
from triform.geometry.sheet import contact_sheet
from triform.geometry.surface import voxels_to_mesh

CELL = 192
BACKGROUND = 255


def draw_mesh(mesh: Mesh | None) -> np.ndarray:
    """A mesh seen from the front, right and above, (192, 192, 3) uint8; None is an empty cell."""
    if mesh is None:
        return np.full((CELL, CELL, 3), BACKGROUND, dtype=np.uint8)
    return np.asarray(render(mesh, CELL))[..., :3]


def draw_grid(grid: np.ndarray) -> np.ndarray:
    """Occupancy (R, R, R) in [0, 1] as a picture; a grid without a surface is an empty cell."""
    if grid.max() <= 0.5:
        return draw_mesh(None)
    try:
        return draw_mesh(voxels_to_mesh(grid))
    except MeshError:
        return draw_mesh(None)


def draw_reconstructions(voxels: Tensor, probabilities: Tensor, path: Path) -> None:
    """Originals (N, 1, R, R, R) above what the model made of them."""
    grids = [*voxels[:, 0].numpy(), *probabilities[:, 0].numpy()]
    labels = ["original"] * len(voxels) + ["reconstruction"] * len(voxels)
    save_sheet([draw_grid(grid) for grid in grids], labels, path, columns=len(voxels))


def save_sheet(
    pictures: Sequence[np.ndarray], labels: Sequence[str], path: Path, *, columns: int
) -> None:
    """Write a contact sheet as PNG, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        contact_sheet(pictures, labels, columns).save(file, format="PNG")
