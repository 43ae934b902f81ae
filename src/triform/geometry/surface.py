"""From voxels to a smooth closed mesh, and the checks and repairs that go with it."""

from __future__ import annotations

from dataclasses import dataclass

import fast_simplification
import numpy as np
from jaxtyping import Bool, Float, Int, Real
from scipy.ndimage import gaussian_filter
from scipy.sparse import coo_array, diags_array
from scipy.sparse.csgraph import connected_components
from skimage.measure import marching_cubes

from triform.base.logging import get_logger
from triform.geometry.mesh import Mesh, MeshError, weld

# Taubin's pair: a step that smooths and a slightly longer one back that undoes the shrinking.
SMOOTH, UNSHRINK = 0.5, -0.53
# Values this close to the level (as a share of the range) are moved away from it, so that no
# vertex comes to lie on a grid point, where faces would degenerate and neighbours coincide.
LEVEL_GAP = 0.01


def voxels_to_mesh(
    values: Real[np.ndarray, "x y z"] | Bool[np.ndarray, "x y z"],
    *,
    level: float | int = 0.5,
    sigma: float | int = 0.0,
    smooth: int = 0,
    largest_component: bool = False,
    smallest_part: float | int = 0.0,
) -> Mesh:
    """Draw the closed surface around everything above a level.

    Outside the grid counts as empty, so the surface is closed where the shape touches the border.
    The mesh is watertight and winds outward for any values.

    Args:
        values: (R, R, R), usually probabilities in [0, 1]; booleans are taken as 0 and 1.
        level: inside is above it. A level outside the range of the values is replaced by the
            middle of the range, with a warning.
        sigma: width in voxels of a Gaussian blur before; parts thinner than it can vanish.
        smooth: rounds of Taubin smoothing after; it does not shrink the shape.
        largest_component: keep only the outer surface of the part with the largest volume.
        smallest_part: drop parts, and holes enclosed in them, below this share of the volume.

    Returns:
        A mesh in normalized coordinates: voxel (i, j, k) spans [-1/2 + i/R, -1/2 + (i+1)/R].

    Raises:
        MeshError: the grid is empty, no cube, or holds values that are not finite.
    """
    grid = np.asarray(values, dtype=np.float64)
    if grid.ndim != 3 or len(set(grid.shape)) != 1 or grid.size == 0:
        raise MeshError(f"voxels: the grid has shape {grid.shape}, expected (R, R, R)")
    if not np.isfinite(grid).all():
        raise MeshError("voxels: the grid holds NaN or infinity")
    if sigma > 0:
        grid = gaussian_filter(grid, sigma, mode="constant")
    level = _usable_level(grid, float(level))

    # As far below the level as the highest value is above it: a full voxel at the border then
    # ends exactly at the border.
    outside = 2 * level - grid.max()
    grid = np.pad(grid, 1, constant_values=outside)
    gap = LEVEL_GAP * (grid.max() - grid.min())
    above = grid > level
    grid = np.where(above, np.maximum(grid, level + gap), np.minimum(grid, level - gap))
    # The other method of the library gives four faces to some edges of ambiguous cells.
    vertices, faces, _, _ = marching_cubes(  # type: ignore[no-untyped-call]
        grid - level, 0.0, method="lorensen", gradient_direction="ascent"
    )
    resolution = len(values)
    # Index 0 of the padded grid is the centre of the voxel before the first.
    mesh = Mesh((vertices.astype(np.float64) - 0.5) / resolution - 0.5, faces.astype(np.int64))
    if largest_component or smallest_part > 0:
        mesh = _keep_parts(mesh, largest_component, smallest_part)
    return taubin(mesh, smooth) if smooth else mesh


def _usable_level(grid: np.ndarray, level: float) -> float:
    low, high = float(grid.min()), float(grid.max())
    if low < level < high or level < low == high:
        return level
    if low == high:
        raise MeshError(
            f"voxels: the grid is empty: all its values are {high:g}, none is above {level:g}"
        )
    middle = (low + high) / 2
    get_logger(__name__).warning(
        "level %g is outside the range of the grid, %.4g to %.4g; using its middle, %.4g",
        level, low, high, middle,
    )  # fmt: skip
    return middle


@dataclass(frozen=True, eq=False)
class Parts:
    """The connected parts of a mesh.

    Attributes:
        labels: (F,) the part of every face.
        volumes: (P,) signed volumes; negative for the walls of a hole enclosed in a part.
    """

    labels: Int[np.ndarray, " f"]
    volumes: Float[np.ndarray, " p"]


def split_parts(mesh: Mesh) -> Parts:
    """Find the parts that share no vertex. Volumes mean something only for closed meshes."""
    faces = mesh.faces
    links = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]]])
    count = len(mesh.vertices)
    graph = coo_array((np.ones(len(links), bool), (links[:, 0], links[:, 1])), (count, count))
    _, of_vertex = connected_components(graph, directed=False)
    _, labels = np.unique(of_vertex[faces[:, 0]], return_inverse=True)
    # Around the mesh's own middle: far from the origin the terms would cancel badly.
    a, b, c = np.moveaxis(mesh.triangles - mesh.bounds.mean(axis=0), 1, 0)
    cones = np.einsum("ij,ij->i", a, np.cross(b, c)) / 6
    return Parts(labels.astype(np.int64), np.bincount(labels, weights=cones))


def _keep_parts(mesh: Mesh, largest: bool, smallest_part: float | int) -> Mesh:
    parts = split_parts(mesh)
    sizes = np.abs(parts.volumes)
    keep = sizes >= smallest_part * parts.volumes[parts.volumes > 0].sum()
    if largest or not keep.any():
        keep = np.arange(len(sizes)) == parts.volumes.argmax()
    return select_faces(mesh, keep[parts.labels])


def select_faces(mesh: Mesh, keep: Bool[np.ndarray, " f"]) -> Mesh:
    """Keep some faces, and only the vertices that they use.

    Raises:
        MeshError: nothing is kept.
    """
    used, faces = np.unique(mesh.faces[keep], return_inverse=True)
    colors = None if mesh.face_colors is None else mesh.face_colors[keep]
    look = None if mesh.appearance is None else mesh.appearance.take(np.flatnonzero(keep))
    return Mesh(mesh.vertices[used], faces.reshape(-1, 3), colors, look)


def main_component_share(mesh: Mesh) -> float:
    """Return the largest part's share of the volume of all parts, in [0, 1].

    Made for closed meshes that wind outward; 0 where no part has a volume.
    """
    volumes = np.maximum(split_parts(weld(mesh)).volumes, 0)
    return float(volumes.max() / volumes.sum()) if volumes.sum() > 0 else 0.0


def is_watertight(mesh: Mesh) -> bool:
    """Tell whether every edge has exactly two faces, which run along it in opposite directions."""
    faces = weld(mesh).faces
    start, end = faces.ravel(), faces[:, [1, 2, 0]].ravel()
    count = int(faces.max()) + 1
    forward, backward = np.sort(start * count + end), np.sort(end * count + start)
    return bool(
        (start != end).all() and (np.diff(forward) > 0).all() and np.array_equal(forward, backward)
    )


def taubin(mesh: Mesh, rounds: int) -> Mesh:
    """Smooth a mesh without shrinking it: each round is a step forward and a step back.

    Vertices of open edges move as well.
    """
    faces = mesh.faces
    count = len(mesh.vertices)
    start, end = faces.ravel(), faces[:, [1, 2, 0]].ravel()
    links = coo_array(
        (np.ones(2 * len(start)), (np.r_[start, end], np.r_[end, start])), (count, count)
    ).tocsr()
    links.data[:] = 1  # an edge of two faces was counted twice
    mean = diags_array(1 / np.maximum(links.sum(axis=1), 1)) @ links
    vertices = mesh.vertices
    for _ in range(rounds):
        for step in (SMOOTH, UNSHRINK):
            vertices = vertices + step * (mean @ vertices - vertices)
    return Mesh(vertices, faces, mesh.face_colors, mesh.appearance)


def decimate(mesh: Mesh, num_faces: int) -> Mesh:
    """Simplify a mesh to about a number of faces, keeping a watertight one watertight.

    Where that number would tear it open, the result has more faces: the fewest that hold, tried
    at one and a half times the number again and again. Colours are not kept.

    Raises:
        MeshError: `num_faces` is less than 4.
    """
    if num_faces < 4:
        raise MeshError(f"decimate: {num_faces} faces asked for, a solid needs 4 or more")
    closed = is_watertight(mesh)
    target = num_faces
    while target < len(mesh.faces):
        vertices, faces = fast_simplification.simplify(
            mesh.vertices.astype(np.float32), mesh.faces.astype(np.int32), target_count=target
        )
        if len(faces):
            result = Mesh(vertices.astype(np.float64), faces.astype(np.int64))
            if not closed or is_watertight(result):
                return result
        target += target // 2
    return mesh
