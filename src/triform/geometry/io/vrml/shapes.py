"""Triangulation of VRML geometry nodes, with their colours and texture coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8

from triform.geometry.colors import to_bytes
from triform.geometry.io.polygons import triangulate
from triform.geometry.io.vrml.fields import Instance
from triform.geometry.io.vrml.primitives import (
    Polygons,
    box,
    cone,
    cylinder,
    elevation_grid,
    extrusion,
    sphere,
)


@dataclass(frozen=True, eq=False)
class Surface:
    """Triangles of a geometry node in its own coordinates.

    Attributes:
        vertices: (V, 3), only those that faces use.
        faces: (F, 3).
        colors: (F, 3, 3) of the corners, or None.
        uv: (F, 3, 2) texture coordinates of the corners, or None for `default_mapping`.
    """

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    colors: UInt8[np.ndarray, "f 3 3"] | None
    uv: Float[np.ndarray, "f 3 2"] | None


def read_geometry(node: Instance) -> Surface | None:
    """Triangulate a geometry node; None if it has no faces (lines, points, text).

    Raises:
        MeshError: a field is invalid.
    """
    polygons = _polygons(node)
    if polygons is None:
        return None
    triangles, polygon = triangulate(polygons.vertices, polygons.corners, polygons.sizes)
    if not len(triangles):
        return None
    if not node.flag("ccw", default=True):
        triangles = triangles[:, ::-1]
    used, faces = np.unique(polygons.corners[triangles], return_inverse=True)
    vertices = polygons.vertices[used]
    faces = faces.reshape(-1, 3)
    return Surface(
        vertices,
        faces,
        _corner_colors(node, polygons, triangles, polygon),
        _texture_coordinates(node, polygons, triangles),
    )


def _polygons(node: Instance) -> Polygons | None:
    match node.type:
        case "IndexedFaceSet":
            coord = node.first("coord")
            points = coord.numbers("point", 3) if coord else np.empty((0, 3))
            corners, sizes = _split_polygons(node.integers("coordIndex"))
            return Polygons(points, corners, sizes)
        case "Box":
            return box(node.vector("size", (2, 2, 2)))
        case "Sphere":
            return sphere(float(node.vector("radius", (1,))[0]))
        case "Cylinder":
            return cylinder(
                float(node.vector("radius", (1,))[0]),
                float(node.vector("height", (2,))[0]),
                side=node.flag("side", default=True),
                top=node.flag("top", default=True),
                bottom=node.flag("bottom", default=True),
            )
        case "Cone":
            return cone(
                float(node.vector("bottomRadius", (1,))[0]),
                float(node.vector("height", (2,))[0]),
                side=node.flag("side", default=True),
                bottom=node.flag("bottom", default=True),
            )
        case "ElevationGrid":
            columns = node.integers("xDimension")
            spacing = (node.vector("xSpacing", (1,))[0], node.vector("zSpacing", (1,))[0])
            heights = node.numbers("height").ravel()
            return elevation_grid(heights, int(columns.sum()), (float(spacing[0]), spacing[1]))
        case "Extrusion":
            section, spine, scale, orientation = (
                values if len(values := node.numbers(name, len(default[0]))) else np.array(default)
                for name, default in EXTRUSION_DEFAULTS.items()
            )
            return extrusion(
                section,
                spine,
                scale,
                np.stack([rotation(axis_angle) for axis_angle in orientation]),
                begin_cap=node.flag("beginCap", default=True),
                end_cap=node.flag("endCap", default=True),
            )
    return None


EXTRUSION_DEFAULTS: dict[str, tuple[tuple[float, ...], ...]] = {
    "crossSection": ((1.0, 1.0), (1.0, -1.0), (-1.0, -1.0), (-1.0, 1.0), (1.0, 1.0)),
    "spine": ((0.0, 0.0, 0.0), (0.0, 1.0, 0.0)),
    "scale": ((1.0, 1.0),),
    "orientation": ((0.0, 0.0, 1.0, 0.0),),
}


def rotation(axis_angle: Float[np.ndarray, " 4"]) -> Float[np.ndarray, "3 3"]:
    """Return the rotation matrix of an axis and an angle; the identity for a zero axis."""
    length = float(np.linalg.norm(axis_angle[:3]))
    if not 0 < length < np.inf:
        return np.eye(3)
    rotation_vector = axis_angle[:3] * (axis_angle[3] / length)
    from scipy.spatial.transform import Rotation  # takes 0.3 s, and few files need it

    return np.asarray(Rotation.from_rotvec(rotation_vector).as_matrix())


def _split_polygons(index: Int[np.ndarray, " n"]) -> tuple[np.ndarray, np.ndarray]:
    """Split indices at every -1 into polygons: all corners, and the number of each polygon."""
    ends = np.flatnonzero(index < 0)
    if len(index) and index[-1] >= 0:
        ends = np.append(ends, len(index))
    return index[index >= 0], np.diff(ends, prepend=-1) - 1


def _corner_colors(
    node: Instance, polygons: Polygons, triangles: np.ndarray, polygon: np.ndarray
) -> UInt8[np.ndarray, "f 3 3"] | None:
    """Read the colours of corners or faces; None if there are none or an index is invalid."""
    color = node.first("color")
    palette = to_bytes(color.numbers("color", 3)) if color else np.empty((0, 3), np.uint8)
    if not len(palette):
        return None
    index = node.integers("colorIndex")
    if node.flag("colorPerVertex", default=True):
        index = index[index >= 0] if len(index) else polygons.corners
        indices = triangles
        is_valid = len(index) == len(polygons.corners)
    else:
        index = index if len(index) else np.arange(len(polygons.sizes))
        indices = np.repeat(polygon[:, None], 3, axis=1)
        is_valid = len(index) >= len(polygons.sizes)
    if not is_valid or not len(index) or index.min() < 0 or index.max() >= len(palette):
        return None
    return np.asarray(palette[index[indices]])


def _texture_coordinates(
    node: Instance, polygons: Polygons, triangles: np.ndarray
) -> Float[np.ndarray, "f 3 2"] | None:
    """Read the texture coordinates of corners; None if there are none or they do not fit."""
    coordinates = node.first("texCoord")
    points = coordinates.numbers("point", 2) if coordinates else np.empty((0, 2))
    index = node.integers("texCoordIndex")
    index = index[index >= 0] if len(index) else polygons.corners
    if not len(points) or len(index) != len(polygons.corners) or index.max() >= len(points):
        return None
    return np.asarray(points[index[triangles]])


def default_mapping(surface: Surface) -> Float[np.ndarray, "f 3 2"]:
    """Texture coordinates along the two longest sides of the bounding box (VRML97 6.23)."""
    vertices = surface.vertices
    low = vertices.min(axis=0)
    size = vertices.max(axis=0) - low
    u, v = np.argsort(-size, kind="stable")[:2]
    uv = (vertices[:, [u, v]] - low[[u, v]]) / (size[u] if size[u] > 0 else 1.0)
    return np.asarray(uv[surface.faces])
