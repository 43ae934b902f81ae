"""Marching cubes to a watertight mesh; components and decimation of meshes."""

from __future__ import annotations

from dataclasses import dataclass

import fast_simplification
import numpy as np
from jaxtyping import Bool, Float, Int, Real
from scipy.ndimage import gaussian_filter
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from skimage.measure import marching_cubes

from triform.base.logging import get_logger
from triform.geometry.mesh import Mesh, MeshError, weld

# Values this close to the level (as a share of the range) are moved away from it: a vertex at a
# voxel centre would make degenerate faces.
LEVEL_GAP = 0.01


def voxels_to_mesh(
    values: Real[np.ndarray, "x y z"] | Bool[np.ndarray, "x y z"],
    *,
    level: float | int = 0.5,
    sigma: float | int = 0.0,
    largest_component: bool = False,
) -> Mesh:
    """Extract the isosurface of voxels by marching cubes.

    The outside of the voxels counts as empty, which closes the surface where the shape touches the
    border. The mesh is watertight and its faces wind outward for any values.

    Args:
        values: (R, R, R), usually probabilities in [0, 1]; booleans are taken as 0 and 1.
        level: values above it are inside. A level outside the range of the values is replaced by
            the middle of the range, with a warning.
        sigma: standard deviation in voxels of a Gaussian filter before; thinner parts can vanish.
        largest_component: keep only the outer surface of the component with the largest volume.

    Returns:
        A mesh in normalized coordinates: voxel (i, j, k) spans [-1/2 + i/R, -1/2 + (i+1)/R].

    Raises:
        MeshError: the grid is empty, no cube, or holds values that are not finite.
    """
    field = np.asarray(values, dtype=np.float64)
    if field.ndim != 3 or len(set(field.shape)) != 1 or field.size == 0:
        raise MeshError(f"voxels: the grid has shape {field.shape}, expected (R, R, R)")
    if not np.isfinite(field).all():
        raise MeshError("voxels: the grid holds NaN or infinity")
    if sigma > 0:
        field = gaussian_filter(field, sigma, mode="constant")
    level = _usable_level(field, float(level))

    # As far below the level as the maximum is above it: the surface of an occupied voxel at the
    # border is then the border.
    outside = 2 * level - field.max()
    field = np.pad(field, 1, constant_values=outside)
    gap = LEVEL_GAP * (field.max() - field.min())
    above = field > level
    field = np.where(above, np.maximum(field, level + gap), np.minimum(field, level - gap))
    # The default method, Lewiner's, gives some edges of ambiguous cells four faces.
    vertices, faces, _, _ = marching_cubes(  # type: ignore[no-untyped-call]
        field - level, 0.0, method="lorensen", gradient_direction="ascent"
    )
    resolution = len(values)
    # Index 0 of the padded array is the centre of the voxel before the first.
    mesh = Mesh((vertices.astype(np.float64) - 0.5) / resolution - 0.5, faces.astype(np.int64))
    if not largest_component:
        return mesh
    components = split_components(mesh)
    return select_faces(mesh, components.labels == components.volumes.argmax())


def _usable_level(field: np.ndarray, level: float) -> float:
    low, high = float(field.min()), float(field.max())
    if low < level < high or level < low == high:
        return level
    if low == high:
        raise MeshError(
            f"voxels: the grid is empty: all its values are {high:g}, none is above {level:g}"
        )
    middle = (low + high) / 2
    get_logger(__name__).warning(
        "level %g is outside the range of the grid, %.4g to %.4g; using its middle, %.4g",
        level,
        low,
        high,
        middle,
    )
    return middle


@dataclass(frozen=True, eq=False)
class Components:
    """Connected components of a mesh.

    Attributes:
        labels: (F,) component of every face.
        volumes: (C,) signed volumes; negative for the walls of a cavity.
    """

    labels: Int[np.ndarray, " f"]
    volumes: Float[np.ndarray, " c"]


def split_components(mesh: Mesh) -> Components:
    """Find the components that share no vertex; volumes are meaningful for closed meshes only."""
    faces = mesh.faces
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]]])
    count = len(mesh.vertices)
    graph = coo_array((np.ones(len(edges), bool), (edges[:, 0], edges[:, 1])), (count, count))
    _, of_vertex = connected_components(graph, directed=False)
    _, labels = np.unique(of_vertex[faces[:, 0]], return_inverse=True)
    # Relative to the centre of the mesh: far from the origin the terms would cancel.
    a, b, c = np.moveaxis(mesh.triangles - mesh.bounds.mean(axis=0), 1, 0)
    signed_volumes = np.einsum("ij,ij->i", a, np.cross(b, c)) / 6
    return Components(labels.astype(np.int64), np.bincount(labels, weights=signed_volumes))


def select_faces(mesh: Mesh, mask: Bool[np.ndarray, " f"]) -> Mesh:
    """Select faces by a mask (F,), with the vertices that they use.

    Raises:
        MeshError: the mask selects nothing.
    """
    used_vertices, faces = np.unique(mesh.faces[mask], return_inverse=True)
    colors = None if mesh.face_colors is None else mesh.face_colors[mask]
    appearance = None if mesh.appearance is None else mesh.appearance.take(np.flatnonzero(mask))
    return Mesh(mesh.vertices[used_vertices], faces.reshape(-1, 3), colors, appearance)


def main_component_share(mesh: Mesh) -> float:
    """Return the main component's share of the volume, in [0, 1].

    Meant for closed meshes that wind outward; 0 where no component has a volume.
    """
    volumes = np.maximum(split_components(weld(mesh)).volumes, 0)
    return float(volumes.max() / volumes.sum()) if volumes.sum() > 0 else 0.0


def is_watertight(mesh: Mesh) -> bool:
    """Return whether every edge has exactly two faces with opposite directions along it."""
    faces = weld(mesh).faces
    start, end = faces.ravel(), faces[:, [1, 2, 0]].ravel()
    count = int(faces.max()) + 1
    forward, backward = np.sort(start * count + end), np.sort(end * count + start)
    return bool(
        (start != end).all() and (np.diff(forward) > 0).all() and np.array_equal(forward, backward)
    )


def decimate(mesh: Mesh, num_faces: int) -> Mesh:
    """Simplify a mesh to about a number of faces; a watertight mesh stays watertight.

    Where that number would open it, the target grows by half until the result is watertight.
    Colours are lost.

    Raises:
        MeshError: `num_faces` is less than 4.
    """
    if num_faces < 4:
        raise MeshError(f"decimate: {num_faces} faces asked for, a solid needs 4 or more")
    was_watertight = is_watertight(mesh)
    target = num_faces
    while target < len(mesh.faces):
        vertices, faces = fast_simplification.simplify(
            mesh.vertices.astype(np.float32), mesh.faces.astype(np.int32), target_count=target
        )
        if len(faces):
            result = Mesh(vertices.astype(np.float64), faces.astype(np.int64))
            if not was_watertight or is_watertight(result):
                return result
        target += target // 2
    return mesh
