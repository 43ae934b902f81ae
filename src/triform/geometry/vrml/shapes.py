"""The geometry of a VRML shape as triangles, with the colours and texture coordinates in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8

from triform.geometry.colors import to_bytes
from triform.geometry.polygons import triangulate
from triform.geometry.vrml.fields import Placed
from triform.geometry.vrml.solids import (
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
    """Triangles before they are placed.

    Attributes:
        vertices: (V, 3), only those that faces use.
        faces: (F, 3).
        colors: (F, 3, 3) of the corners, or None.
        uv: (F, 3, 2) texture coordinates of the corners, or None where the standard's default
            holds (`default_mapping`).
    """

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    colors: UInt8[np.ndarray, "f 3 3"] | None
    uv: Float[np.ndarray, "f 3 2"] | None


def read_geometry(node: Placed) -> Surface | None:
    """Read a geometry node; None where it has no faces (lines, points, text).

    Raises:
        MeshError: the field at fault.
    """
    made = _polygons(node)
    if made is None:
        return None
    triangles, polygon = triangulate(made.vertices, made.corners, made.sizes)
    if not len(triangles):
        return None
    if not node.flag("ccw", default=True):
        triangles = triangles[:, ::-1]
    used, faces = np.unique(made.corners[triangles], return_inverse=True)
    vertices = made.vertices[used]
    faces = faces.reshape(-1, 3)
    return Surface(
        vertices,
        faces,
        _colors(node, made, triangles, polygon),
        _texture_coordinates(node, made, triangles),
    )


def _polygons(node: Placed) -> Polygons | None:
    match node.type:
        case "IndexedFaceSet":
            coord = node.first("coord")
            points = coord.numbers("point", 3) if coord else np.empty((0, 3))
            corners, sizes = _split(node.integers("coordIndex"))
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
            given = [node.numbers(name, n) for name, n in _EXTRUSION.items()]
            values = [v if len(v) else np.array(d) for v, d in zip(given, _DEFAULTS, strict=True)]
            section, spine, scale, turns = values
            return extrusion(
                section,
                spine,
                scale,
                np.stack([rotation(turn) for turn in turns]),
                begin=node.flag("beginCap", default=True),
                end=node.flag("endCap", default=True),
            )
    return None


_EXTRUSION = {"crossSection": 2, "spine": 3, "scale": 2, "orientation": 4}
_DEFAULTS = (
    ((1.0, 1.0), (1.0, -1.0), (-1.0, -1.0), (-1.0, 1.0), (1.0, 1.0)),
    ((0.0, 0.0, 0.0), (0.0, 1.0, 0.0)),
    ((1.0, 1.0),),
    ((0.0, 0.0, 1.0, 0.0),),
)


def rotation(axis_angle: Float[np.ndarray, " 4"]) -> Float[np.ndarray, "3 3"]:
    """Return the matrix that turns about an axis by an angle; about no axis, it does nothing."""
    length = float(np.linalg.norm(axis_angle[:3]))
    if not 0 < length < np.inf:
        return np.eye(3)
    x, y, z = axis_angle[:3] / length
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = float(axis_angle[3])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)


def _split(index: Int[np.ndarray, " n"]) -> tuple[np.ndarray, np.ndarray]:
    """Split indices at every -1 into polygons: their corners, and how many each has."""
    ends = np.flatnonzero(index < 0)
    if len(index) and index[-1] >= 0:
        ends = np.append(ends, len(index))
    return index[index >= 0], np.diff(ends, prepend=-1) - 1


def _colors(
    node: Placed, made: Polygons, triangles: np.ndarray, polygon: np.ndarray
) -> UInt8[np.ndarray, "f 3 3"] | None:
    """Read the colours of corners or faces; a wrong index is no colours, and still a shape."""
    color = node.first("color")
    palette = to_bytes(color.numbers("color", 3)) if color else np.empty((0, 3), np.uint8)
    if not len(palette):
        return None
    index = node.integers("colorIndex")
    if node.flag("colorPerVertex", default=True):
        index = index[index >= 0] if len(index) else made.corners
        at = triangles
        fits = len(index) == len(made.corners)
    else:
        index = index if len(index) else np.arange(len(made.sizes))
        at = np.repeat(polygon[:, None], 3, axis=1)
        fits = len(index) >= len(made.sizes)
    if not fits or not len(index) or index.min() < 0 or index.max() >= len(palette):
        return None
    return np.asarray(palette[index[at]])


def _texture_coordinates(
    node: Placed, made: Polygons, triangles: np.ndarray
) -> Float[np.ndarray, "f 3 2"] | None:
    """Read the texture coordinates of corners, or None where there are none or they do not fit."""
    given = node.first("texCoord")
    points = given.numbers("point", 2) if given else np.empty((0, 2))
    index = node.integers("texCoordIndex")
    index = index[index >= 0] if len(index) else made.corners
    if not len(points) or len(index) != len(made.corners) or index.max() >= len(points):
        return None
    return np.asarray(points[index[triangles]])


def default_mapping(surface: Surface) -> Float[np.ndarray, "f 3 2"]:
    """Lay a texture over the two longest sides of the box around a shape, as the standard does."""
    vertices = surface.vertices
    low = vertices.min(axis=0)
    size = vertices.max(axis=0) - low
    u, v = np.argsort(-size, kind="stable")[:2]
    places = (vertices[:, [u, v]] - low[[u, v]]) / (size[u] if size[u] > 0 else 1.0)
    return np.asarray(places[surface.faces])
