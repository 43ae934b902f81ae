"""Distances between the surfaces of two meshes: Chamfer distance, F-score, missing parts, normals.

The meshes share one coordinate system, usually that of a normalized mesh, whose longest side is 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from triform.geometry.mesh import Mesh
from triform.geometry.sampling.surface_points import sample_surface
from triform.geometry.sampling.triangles import distances_to_mesh

VOXEL = 1 / 64
"""Unit of the thresholds, whatever the resolution of a model."""
FLAT_DEGREES = 10.0
"""The surface around a point is flat where no normal differs more, within FLAT_RADIUS."""
FLAT_RADIUS = 1.5 * VOXEL
EDGE_DEGREES = 30.0
"""A point lies at an edge where some normal within VOXEL differs more."""


@dataclass(frozen=True)
class SurfaceDistance:
    """How far a predicted surface is from its target.

    Attributes:
        error: mean distance of a point of either surface to the other, in voxels of 1/64: the
            Chamfer distance of unsquared distances, as the mean of both directions.
        f_score_64: harmonic mean of precision and recall of points within 1/64, in [0, 1].
        f_score_128: the same within 1/128.
        missing: share of the target farther than a voxel from the prediction.
        extra: share of the prediction farther than a voxel from the target.
        flat_normal_error: mean angle in degrees between the normals of the prediction and of the
            flat parts of the target nearest to it, whichever way they wind: the roughness of what
            should be smooth; NaN if no part is flat.
        edge_normal_error: the same at sharp edges, which smoothing rounds; NaN if there is none.
    """

    error: float
    f_score_64: float
    f_score_128: float
    missing: float
    extra: float
    flat_normal_error: float
    edge_normal_error: float


def surface_distance(
    prediction: Mesh, target: Mesh, *, count: int = 30_000, seed: int = 0
) -> SurfaceDistance:
    """Compare two surfaces by points on each and their exact distances to the other.

    Args:
        prediction: a mesh.
        target: the true mesh, of its visible surface only (`visible_surface`).
        count: points on each.
        seed: the same seed gives the same points.
    """
    on_target = sample_surface(target, count, seed)
    on_prediction = sample_surface(prediction, count, seed + 1)
    completeness, _ = distances_to_mesh(on_target.points, prediction)
    accuracy, nearest_face = distances_to_mesh(on_prediction.points, target)
    flat, edge = _flat_and_edge(on_target.points, on_target.normals, on_prediction.points)
    cosines = (on_prediction.normals * target.face_normals[nearest_face]).sum(axis=1)
    angles = np.degrees(np.arccos(np.clip(np.abs(cosines), 0, 1)))
    near = accuracy < VOXEL
    return SurfaceDistance(
        error=float(completeness.mean() + accuracy.mean()) / 2 / VOXEL,
        f_score_64=f_score(accuracy, completeness, VOXEL),
        f_score_128=f_score(accuracy, completeness, VOXEL / 2),
        missing=float((completeness > VOXEL).mean()),
        extra=float((accuracy > VOXEL).mean()),
        flat_normal_error=_mean(angles[flat & near]),
        edge_normal_error=_mean(angles[edge & near]),
    )


def f_score(accuracy: np.ndarray, completeness: np.ndarray, threshold: float) -> float:
    """Harmonic mean of precision and recall of points within a threshold.

    Tatarchenko et al., arXiv:1905.03678, section 4.

    Args:
        accuracy: distances of predicted points to the target.
        completeness: distances of target points to the prediction.
        threshold: in the same unit.
    """
    precision, recall = (accuracy <= threshold).mean(), (completeness <= threshold).mean()
    return float(2 * precision * recall / (precision + recall)) if precision + recall > 0 else 0.0


def chamfer_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Sum of the mean squared distances of points (N, 3) and (M, 3) to the nearest of the other.

    Fan et al., arXiv:1612.00603, equation 1, as means.
    """
    to_second, _ = cKDTree(second).query(first)
    to_first, _ = cKDTree(first).query(second)
    return float((to_second**2).mean() + (to_first**2).mean())


def _flat_and_edge(
    points: np.ndarray, normals: np.ndarray, queries: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Whether a surface, given as points (N, 3), is flat or has an edge at queries (M, 3)."""
    tree = cKDTree(points)
    flat, edge = np.zeros(len(queries), dtype=bool), np.zeros(len(queries), dtype=bool)
    _, nearest = tree.query(queries)
    for i, neighbors in enumerate(tree.query_ball_point(queries, FLAT_RADIUS)):
        if len(neighbors) < 3:
            continue
        cosines = np.abs(normals[neighbors] @ normals[nearest[i]])
        close = np.linalg.norm(points[neighbors] - queries[i], axis=1) <= VOXEL
        flat[i] = cosines.min() >= np.cos(np.radians(FLAT_DEGREES))
        edge[i] = close.any() and cosines[close].min() < np.cos(np.radians(EDGE_DEGREES))
    return flat, edge


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")
