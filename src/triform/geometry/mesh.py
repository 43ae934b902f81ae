"""The triangle mesh of all geometry functions.

Real meshes are polygon soups: open, self-intersecting, of many components and mixed winding. A
`Mesh` guarantees only what its constructor checks, and no function may assume more.

Space is right-handed with +Y up. A *normalized* mesh is centred and its longest side is 1, so that
it lies in [-1/2, 1/2]^3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8

from triform.base.errors import UserError
from triform.geometry.appearance import Appearance

# Products of three coordinates must stay far from overflow.
MAX_COORDINATE = 1e15


class MeshError(UserError):
    """A mesh that cannot be read or used; the message says which, the value seen, what to do."""


@dataclass(frozen=True, eq=False)
class Mesh:
    """A triangle soup with optional colours.

    Attributes:
        vertices: (V, 3) float64.
        faces: (F, 3) int64, indices into `vertices`; a face may be degenerate.
        face_colors: (F, 3) uint8 sRGB, or None.
        appearance: materials, textures and vertex colours, or None.
    """

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    face_colors: UInt8[np.ndarray, "f 3"] | None = None
    appearance: Appearance | None = None

    def __post_init__(self) -> None:
        """Convert the arrays to their types and check them.

        Raises:
            MeshError: no faces, indices out of range, coordinates that are not finite or beyond
                1e15, colours or an appearance that do not fit the faces.
        """
        vertices = np.ascontiguousarray(self.vertices, dtype=np.float64)
        faces = np.ascontiguousarray(self.faces, dtype=np.int64)
        if vertices.ndim != 2 or vertices.shape[1] != 3:
            raise MeshError(f"mesh: vertices have shape {vertices.shape}, expected (V, 3)")
        if faces.ndim != 2 or faces.shape[1] != 3 or len(faces) == 0:
            raise MeshError(
                f"mesh: faces have shape {faces.shape}, expected (F, 3) and at least one face"
            )
        if faces.min() < 0 or faces.max() >= len(vertices):
            raise MeshError(
                f"mesh: face indices run from {faces.min()} to {faces.max()}, "
                f"but there are {len(vertices)} vertices"
            )
        # Written so that NaN fails as well.
        if not bool((np.abs(vertices) <= MAX_COORDINATE).all()):
            raise MeshError(
                "mesh: vertex coordinates hold NaN, infinity or a value beyond 1e15; "
                "export the model again or scale it down"
            )
        object.__setattr__(self, "vertices", vertices)
        object.__setattr__(self, "faces", faces)
        if self.face_colors is not None:
            colors = np.ascontiguousarray(self.face_colors)
            if colors.dtype != np.uint8 or colors.shape != faces.shape:
                raise MeshError(
                    f"mesh: face_colors are {colors.dtype} {colors.shape}, "
                    f"expected uint8 {faces.shape}"
                )
            object.__setattr__(self, "face_colors", colors)
        if self.appearance is not None and (
            problem := self.appearance.validation_error(len(faces))
        ):
            raise MeshError(f"mesh: appearance: {problem}")

    @property
    def triangles(self) -> Float[np.ndarray, "f 3 3"]:
        """Corner positions of every face, (F, 3, 3)."""
        return np.asarray(self.vertices[self.faces])

    @property
    def bounds(self) -> Float[np.ndarray, "2 3"]:
        """Lowest and highest corner of the bounding box of the faces, (2, 3).

        Unreferenced vertices do not count.
        """
        used_vertices = self.vertices[np.unique(self.faces)]
        return np.stack([used_vertices.min(axis=0), used_vertices.max(axis=0)])

    @property
    def face_areas(self) -> Float[np.ndarray, " f"]:
        """Area of every face, (F,); 0 for degenerate ones."""
        return np.asarray(np.linalg.norm(self._edge_cross_products, axis=1) / 2)

    @property
    def face_normals(self) -> Float[np.ndarray, "f 3"]:
        """Unit normal of every face by its winding, (F, 3); zero for degenerate faces."""
        crosses = self._edge_cross_products
        lengths = np.linalg.norm(crosses, axis=1, keepdims=True)
        normals = np.zeros_like(crosses)
        np.divide(crosses, lengths, out=normals, where=lengths > 0)
        return normals

    @property
    def area(self) -> float:
        """Total area of the faces; duplicate faces count twice."""
        return float(self.face_areas.sum())

    @property
    def volume(self) -> float:
        """Signed volume: positive if a closed mesh winds outward, meaningless if it is open."""
        a, b, c = np.moveaxis(self.triangles - self.bounds.mean(axis=0), 1, 0)
        return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)

    @property
    def _edge_cross_products(self) -> Float[np.ndarray, "f 3"]:
        a, b, c = np.moveaxis(self.triangles, 1, 0)
        return np.cross(b - a, c - a)


def normalize(mesh: Mesh) -> Mesh:
    """Centre a mesh and scale its longest side to 1.

    Args:
        mesh: any mesh; unreferenced vertices are removed first.

    Returns:
        A mesh in [-1/2, 1/2]^3 that spans all of its longest axis.

    Raises:
        MeshError: all faces lie in one point.
    """
    used_vertices, faces = np.unique(mesh.faces, return_inverse=True)
    vertices = mesh.vertices[used_vertices]
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    longest_side = float((high - low).max())
    if longest_side <= 0:
        raise MeshError("mesh: all its faces lie in one point, there is no shape to use")
    # In this order the longest side becomes exactly 1, wherever the mesh lies.
    vertices = (vertices - low - (high - low) / 2) / longest_side
    return Mesh(vertices, faces.reshape(-1, 3), mesh.face_colors, mesh.appearance)


def weld(mesh: Mesh) -> Mesh:
    """Merge equal vertices, in the order of their first occurrence.

    Files duplicate vertices at texture seams, and some formats share none; adjacent faces share
    vertices only after this.
    """
    # Adding 0 makes -0.0 equal to 0.0 bit for bit.
    bits = (mesh.vertices + 0.0).view(np.uint64)
    hashes = bits @ np.array(
        [0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64
    )
    _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    if not np.array_equal(bits[first[inverse]], bits):
        # A hash collision.
        _, first, inverse = np.unique(bits, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    faces = rank[inverse][mesh.faces]
    return Mesh(mesh.vertices[first[order]], faces, mesh.face_colors, mesh.appearance)
