"""Points on the surface of a mesh."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from triform.geometry.mesh import Mesh, MeshError


@dataclass(frozen=True, eq=False)
class PointCloud:
    """Points with the normals and colours of the faces that they lie on.

    Attributes:
        points: (N, 3) float64.
        normals: (N, 3) float64 of length 1, to the side from which the face winds
            counter-clockwise.
        colors: (N, 3) uint8 sRGB, or None where the mesh has no colours.
    """

    points: Float[np.ndarray, "n 3"]
    normals: Float[np.ndarray, "n 3"]
    colors: UInt8[np.ndarray, "n 3"] | None = None


def sample_surface(mesh: Mesh, count: int, seed: int) -> PointCloud:
    """Draw points evenly from a surface.

    The area is cut into `count` equal strata, in the order of the faces, and every stratum gives
    one point: the number of points on any face differs from its share by less than 2.

    Args:
        mesh: any mesh; degenerate faces are never drawn.
        count: number of points N, 1 or more.
        seed: the same seed gives the same points.

    Raises:
        MeshError: the mesh has no area, or `count` is less than 1.
    """
    if count < 1:
        raise MeshError(f"sample: {count} points asked for, choose 1 or more")
    ends = np.cumsum(mesh.face_areas)
    if not ends[-1] > 0:
        raise MeshError("sample: the mesh has no area, all its faces are lines or points")
    random = np.random.default_rng(seed)
    at = (np.arange(count) + random.random(count)) / count * ends[-1]
    # "right" steps over faces without area; the last bit of `at` may reach the very end.
    face = np.searchsorted(ends, at, side="right")
    face = np.minimum(face, np.searchsorted(ends, ends[-1]))
    # The root makes equal areas equally likely between the first corner and the edge across.
    out, along = np.sqrt(random.random((count, 1))), random.random((count, 1))
    a, b, c = np.moveaxis(mesh.triangles[face], 1, 0)
    points = a + out * ((b - a) + along * (c - b))
    colors = None if mesh.face_colors is None else mesh.face_colors[face]
    return PointCloud(points, mesh.face_normals[face], colors)
