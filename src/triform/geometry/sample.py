"""Points on the surface of a mesh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int, UInt8

from triform.geometry.farthest import farthest_points
from triform.geometry.mesh import Mesh, MeshError
from triform.geometry.poisson import thin_out

Spacing = Literal["stratified", "farthest", "poisson"]
# Candidates for each point that is asked for, where points are chosen by their distances.
OVERSAMPLING = 4


@dataclass(frozen=True, eq=False)
class PointCloud:
    """Points with the normals and colours of the places on faces that they lie on.

    Attributes:
        points: (N, 3) float64.
        normals: (N, 3) float64 of length 1, to the side from which the face winds
            counter-clockwise.
        colors: (N, 3) uint8 sRGB, or None where the mesh has no colours.
    """

    points: Float[np.ndarray, "n 3"]
    normals: Float[np.ndarray, "n 3"]
    colors: UInt8[np.ndarray, "n 3"] | None = None


def sample_surface(
    mesh: Mesh, count: int, seed: int, *, spacing: Spacing = "stratified"
) -> PointCloud:
    """Draw points evenly from a surface.

    - "stratified": the area is cut into `count` equal strata, in the order of the faces, and every
      stratum gives one point. The number of points on any face differs from its share by less
      than 2. In the order of the faces.
    - "farthest": of four times as many such points, each is as far as possible from all before it.
      The first n points are a farthest-point sampling for every n.
    - "poisson": of four times as many such points, the most crowded leave one by one. Blue noise:
      nearly no two points are close, and there is no grain. In the order of the faces.

    Args:
        mesh: any mesh; degenerate faces are never drawn. Its `appearance`, where it has one,
            gives the colours, else its `face_colors`.
        count: number of points N, 1 or more.
        seed: the same seed gives the same points.
        spacing: how the points lie to each other.

    Raises:
        MeshError: the mesh has no area, `count` is less than 1, or there is no such spacing.
    """
    if count < 1:
        raise MeshError(f"sample: {count} points asked for, choose 1 or more")
    ends = np.cumsum(mesh.face_areas)
    if not ends[-1] > 0:
        raise MeshError("sample: the mesh has no area, all its faces are lines or points")
    random = np.random.default_rng(seed)
    if spacing == "stratified":
        return _at(mesh, *_draw(ends, count, random))
    face, weights = _draw(ends, OVERSAMPLING * count, random)
    points = _points(mesh, face, weights)
    if spacing == "farthest":
        chosen = farthest_points(points, count, start=int(random.integers(len(points))))
    elif spacing == "poisson":
        chosen = np.flatnonzero(thin_out(points, count, float(ends[-1])))
    else:
        raise MeshError(
            f"sample: {spacing!r} is no spacing; known are stratified, farthest, poisson"
        )
    return _at(mesh, face[chosen], weights[chosen])


def _draw(
    ends: Float[np.ndarray, " f"], count: int, random: np.random.Generator
) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, "n 3"]]:
    """Draw one place in each of `count` strata: its face and its barycentric coordinates."""
    at = (np.arange(count) + random.random(count)) / count * ends[-1]
    # "right" steps over faces without area; the last bit of `at` may reach the very end.
    face = np.searchsorted(ends, at, side="right")
    face = np.minimum(face, np.searchsorted(ends, ends[-1]))
    # The root makes equal areas equally likely between the first corner and the edge across.
    out, along = np.sqrt(random.random(count)), random.random(count)
    return face, np.stack([1 - out, out * (1 - along), out * along], axis=1)


def _points(
    mesh: Mesh, face: Int[np.ndarray, " n"], weights: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, "n 3"]:
    a, b, c = (mesh.vertices[mesh.faces[face, corner]] for corner in range(3))
    # In this form a triangle far from the origin loses no digits.
    return np.asarray(a + weights[:, 1:2] * (b - a) + weights[:, 2:] * (c - a))


def _at(mesh: Mesh, face: Int[np.ndarray, " n"], weights: Float[np.ndarray, "n 3"]) -> PointCloud:
    """Give places on faces their points, normals and colours."""
    a, b, c = (mesh.vertices[mesh.faces[face, corner]] for corner in range(3))
    normals = np.cross(b - a, c - a)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    appearance = getattr(mesh, "appearance", None)
    if appearance is not None:
        colors = appearance.colors_at(face, weights)
    else:
        colors = None if mesh.face_colors is None else mesh.face_colors[face]
    return PointCloud(_points(mesh, face, weights), normals, colors)
