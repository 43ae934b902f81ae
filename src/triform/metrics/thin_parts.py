"""Recall of thin parts: legs, panes and boards that a coarse model loses first."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from triform.geometry.mesh import Mesh
from triform.geometry.sampling.surface_points import sample_surface
from triform.geometry.sampling.triangles import distances_to_mesh
from triform.geometry.voxels.voxelize import voxelize

VOXEL = 1 / 64
MAX_THICKNESS = 3 * VOXEL
"""A part is thin where it is thinner."""
RESOLUTION = 256
STEP = 0.5
"""Steps along a normal, in voxels of the resolution."""
CONTACT = 1.5
"""Voxels by which touched voxels make a part thicker, at most along an axis."""


def thin_part_recall(
    prediction: Mesh, target: Mesh, *, count: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """Share of the thin parts' surface that a prediction has within 1/64.

    Args:
        prediction: a mesh in the coordinates of the target.
        target: the true mesh in [-1/2, 1/2]^3, of its visible surface only (`visible_surface`).
        count: points on the target.
        seed: the same seed gives the same points.

    Returns:
        Recall, NaN where nothing is thin; and the thin share of the target's surface.
    """
    on_target = sample_surface(target, count, seed)
    occupancy = voxelize(target, RESOLUTION, is_normalized=True)
    thin = is_thin(on_target.points, on_target.normals, occupancy)
    if not thin.any():
        return float("nan"), 0.0
    distances, _ = distances_to_mesh(on_target.points[thin].astype(np.float64), prediction)
    return float((distances <= VOXEL).mean()), float(thin.mean())


def is_thin(
    points: Float[np.ndarray, "n 3"],
    normals: Float[np.ndarray, "n 3"],
    occupancy: Bool[np.ndarray, "x y z"],
    max_thickness: float = MAX_THICKNESS,
) -> Bool[np.ndarray, " n"]:
    """Whether a solid is thinner than a length at points of its surface, along their normals.

    Args:
        points: (N, 3), in [-1/2, 1/2]^3.
        normals: (N, 3), of length 1, in or out.
        occupancy: (R, R, R) of the solid, filled.
        max_thickness: the length.
    """
    size = occupancy.shape[0]
    limit = max_thickness * size + CONTACT
    run = np.zeros(len(points))
    for direction in (1.0, -1.0):
        inside = np.ones(len(points), dtype=bool)
        for step in np.arange(STEP, limit + STEP, STEP):
            position = (points + direction * normals * (step / size) + 0.5) * size
            index = np.floor(position).astype(int)
            in_grid = ((index >= 0) & (index < size)).all(axis=1)
            index = np.clip(index, 0, size - 1)
            inside &= in_grid & occupancy[index[:, 0], index[:, 1], index[:, 2]]
            run += inside * STEP
    return np.asarray(run < limit)
