"""Points on the surface of a mesh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int, UInt8

from triform.geometry.mesh import Mesh, MeshError
from triform.geometry.sampling.farthest import farthest_point_sample
from triform.geometry.sampling.poisson import eliminate_samples

Spacing = Literal["stratified", "farthest", "poisson"]
# Candidates for each point that is asked for, where points are chosen by their distances.
OVERSAMPLING = 4


@dataclass(frozen=True, eq=False)
class PointCloud:
    """Points on a surface with its normals and colours.

    Attributes:
        points: (N, 3) float64.
        normals: (N, 3) float64 unit normals, on the side where the face winds counter-clockwise.
        colors: (N, 3) uint8 sRGB, or None if the mesh has no colours.
    """

    points: Float[np.ndarray, "n 3"]
    normals: Float[np.ndarray, "n 3"]
    colors: UInt8[np.ndarray, "n 3"] | None = None


def sample_surface(
    mesh: Mesh, count: int, seed: int, *, spacing: Spacing = "stratified"
) -> PointCloud:
    """Sample points uniformly from a surface.

    - "stratified": the area is cut into `count` equal strata, in the order of the faces, and every
      stratum gives one point. The number of points on any face differs from its share by less
      than 2. In the order of the faces.
    - "farthest": of four times as many such points, each is as far as possible from all before it.
      The first n points are a farthest-point sampling for every n.
    - "poisson": of four times as many such points, the most crowded are removed one by one, which
      leaves blue noise. In the order of the faces.

    Args:
        mesh: any mesh; degenerate faces are never sampled. Its `appearance`, or else its
            `face_colors`, give the colours.
        count: number of points N, 1 or more.
        seed: the same seed gives the same points.
        spacing: distribution of the points.

    Raises:
        MeshError: the mesh has no area, `count` is less than 1, or the spacing is unknown.
    """
    if count < 1:
        raise MeshError(f"sample: {count} points asked for, choose 1 or more")
    cumulative_area = np.cumsum(mesh.face_areas)
    if not cumulative_area[-1] > 0:
        raise MeshError("sample: the mesh has no area, all its faces are lines or points")
    rng = np.random.default_rng(seed)
    if spacing == "stratified":
        return _point_cloud(mesh, *_sample_faces(cumulative_area, count, rng))
    face, barycentric = _sample_faces(cumulative_area, OVERSAMPLING * count, rng)
    points = _interpolate_points(mesh, face, barycentric)
    if spacing == "farthest":
        selected = farthest_point_sample(points, count, start=int(rng.integers(len(points))))
    elif spacing == "poisson":
        selected = np.flatnonzero(eliminate_samples(points, count, float(cumulative_area[-1])))
    else:
        raise MeshError(
            f"sample: {spacing!r} is no spacing; known are stratified, farthest, poisson"
        )
    return _point_cloud(mesh, face[selected], barycentric[selected])


def _sample_faces(
    cumulative_area: Float[np.ndarray, " f"], count: int, rng: np.random.Generator
) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, "n 3"]]:
    """Sample one point in each of `count` strata: its face and its barycentric coordinates."""
    positions = (np.arange(count) + rng.random(count)) / count * cumulative_area[-1]
    # "right" skips faces without area; rounding may bring `positions` to the very end.
    face = np.searchsorted(cumulative_area, positions, side="right")
    face = np.minimum(face, np.searchsorted(cumulative_area, cumulative_area[-1]))
    # The square root makes the distribution uniform over the triangle.
    radial, lateral = np.sqrt(rng.random(count)), rng.random(count)
    return face, np.stack([1 - radial, radial * (1 - lateral), radial * lateral], axis=1)


def _interpolate_points(
    mesh: Mesh, face: Int[np.ndarray, " n"], barycentric: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, "n 3"]:
    a, b, c = (mesh.vertices[mesh.faces[face, corner]] for corner in range(3))
    # This form is accurate for triangles far from the origin.
    return np.asarray(a + barycentric[:, 1:2] * (b - a) + barycentric[:, 2:] * (c - a))


def _point_cloud(
    mesh: Mesh, face: Int[np.ndarray, " n"], barycentric: Float[np.ndarray, "n 3"]
) -> PointCloud:
    """Points, normals and colours at barycentric coordinates of faces."""
    a, b, c = (mesh.vertices[mesh.faces[face, corner]] for corner in range(3))
    normals = np.cross(b - a, c - a)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    colors = None if mesh.face_colors is None else mesh.face_colors[face]
    if mesh.appearance is not None:
        colors = mesh.appearance.colors_at(face, barycentric)
    return PointCloud(_interpolate_points(mesh, face, barycentric), normals, colors)
