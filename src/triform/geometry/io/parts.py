"""Parts of a scene, placed and concatenated to one mesh, and counts of what was left out."""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int, UInt8

from triform.base.logging import get_logger
from triform.geometry.appearance import Appearance, Material, concatenate_appearances
from triform.geometry.colors import UNCOLORED, texture_means
from triform.geometry.io.limits import MAX_FACE_COUNT
from triform.geometry.mesh import Mesh, MeshError

logger = get_logger(__name__)


class LeftOut:
    """Counts of what a reader found in a file and could not use."""

    def __init__(self) -> None:
        """Count nothing yet."""
        self.counts: Counter[str] = Counter()
        self.notes: list[str] = []

    def note(self, remark: str) -> None:
        """Add what differs from the file's own promises, though nothing is lost."""
        self.notes.append(remark)

    def add(self, what: str, count: int = 1) -> None:
        """Count something; "{s}" in its description is the plural's ending."""
        if count > 0:
            self.counts[what] += count

    def __str__(self) -> str:
        """Describe all counts, or return ""."""
        return ", ".join(
            f"{count} {what.format(s='' if count == 1 else 's')}"
            for what, count in self.counts.items()
        )

    def no_faces(self, reason: str = "") -> MeshError:
        """Return the error of a file without faces; what was left out is the default reason."""
        return MeshError(f"there are no faces in it: {str(self) or reason or 'it holds no mesh'}")

    def warn(self, model: str) -> None:
        """Warn once of all that was left out."""
        remarks = [*self.notes, *([f"left out: {self}"] if self.counts else [])]
        if remarks:
            logger.warning("%s: %s", model, "; ".join(remarks))


def without_mark(data: bytes) -> bytes:
    """Return text that begins with a byte-order mark as UTF-8 without it, other data as it is."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", errors="replace").encode()
    return data.removeprefix(codecs.BOM_UTF8)


def transform_mesh(mesh: Mesh, matrix: Float[np.ndarray, "4 4"]) -> Mesh:
    """Return a transformed copy of a mesh; a reflection inverts the winding of its faces."""
    if np.array_equal(matrix, np.eye(4)):
        return mesh
    faces, appearance = mesh.faces, mesh.appearance
    if np.linalg.det(matrix[:3, :3]) < 0:
        faces = faces[:, ::-1]
        if appearance is not None:
            uv, colors = appearance.uv, appearance.corner_colors
            appearance = Appearance(
                appearance.material,
                appearance.materials,
                None if uv is None else uv[:, ::-1],
                None if colors is None else np.ascontiguousarray(colors[:, ::-1]),
            )
    vertices = mesh.vertices @ matrix[:3, :3].T + matrix[:3, 3]
    return Mesh(vertices, faces, mesh.face_colors, appearance)


def check_face_count(count: int) -> None:
    """Check the number of faces of all parts together.

    Raises:
        MeshError: more than 10 million.
    """
    if count > MAX_FACE_COUNT:
        raise MeshError(f"more than {MAX_FACE_COUNT} faces; simplify the model first")


def concatenate(parts: Sequence[Mesh]) -> Mesh:
    """Concatenate meshes; those without colours become grey where others have some.

    Raises:
        MeshError: too many faces.
    """
    counts = [len(part.faces) for part in parts]
    check_face_count(sum(counts))
    if len(parts) == 1:
        return parts[0]
    starts = np.cumsum([0] + [len(part.vertices) for part in parts])
    face_colors, appearance = None, None
    if any(part.face_colors is not None for part in parts):
        face_colors = np.concatenate(
            [
                np.full((count, 3), UNCOLORED, dtype=np.uint8)
                if part.face_colors is None
                else part.face_colors
                for part, count in zip(parts, counts, strict=True)
            ]
        )
    if any(part.appearance is not None for part in parts):
        appearance = concatenate_appearances(
            [(count, part.appearance) for part, count in zip(parts, counts, strict=True)],
            UNCOLORED,
        )
    return Mesh(
        np.concatenate([part.vertices for part in parts]),
        np.concatenate([p.faces + start for p, start in zip(parts, starts, strict=False)]),
        face_colors,
        appearance,
    )


def colored_mesh(
    vertices: Float[np.ndarray, "v 3"],
    faces: Int[np.ndarray, "f 3"],
    appearance: Appearance | None,
) -> Mesh:
    """Return a mesh whose face colours are the means of its appearance."""
    if appearance is None:
        return Mesh(vertices, faces)
    palette = np.array([material.color for material in appearance.materials], dtype=np.float64)
    colors = palette[appearance.material]
    for index, material in enumerate(appearance.materials):
        if material.texture is not None and appearance.uv is not None:
            selected = np.flatnonzero(appearance.material == index)
            means = texture_means(
                material.texture[..., :3], appearance.uv[selected].astype(np.float64)
            )
            colors[selected] *= means / 255
    if appearance.corner_colors is not None:
        colors *= appearance.corner_colors.mean(axis=1) / 255
    return Mesh(vertices, faces, np.rint(colors).astype(np.uint8), appearance)


def appearance_of_corners(rgba: UInt8[np.ndarray, "f c 4"]) -> Appearance:
    """Return the appearance of colours of corners, or of faces (one corner).

    The opacity of a face is the mean of its corners.
    """
    opacities, material = np.unique(np.rint(rgba[..., 3].mean(axis=1)), return_inverse=True)
    white = np.full(3, 255, dtype=np.uint8)
    materials = tuple(Material(white, None, float(opacity) / 255) for opacity in opacities)
    colors = np.ascontiguousarray(np.broadcast_to(rgba[..., :3], (len(rgba), 3, 3)))
    return Appearance(material.reshape(-1), materials, None, colors)


def strip_triangles(strip: Int[np.ndarray, " n"], restart: int) -> Int[np.ndarray, "t 3"]:
    """Return the triangles of strips, all wound as the first one of each.

    Degenerate triangles, which join strips, are dropped.

    Args:
        strip: indices of vertices.
        restart: index that ends a strip and begins another.
    """
    ends = strip == restart
    if len(strip) < 3:
        return np.empty((0, 3), dtype=np.int64)
    starts = np.maximum.accumulate(np.where(ends, np.arange(len(strip)) + 1, 0))
    is_odd = (np.arange(len(strip)) - starts)[:-2] % 2 == 1
    triangles = np.stack([strip[:-2], strip[1:-1], strip[2:]], axis=1).astype(np.int64)
    triangles[is_odd] = triangles[is_odd][:, [1, 0, 2]]
    a, b, c = triangles.T
    is_valid = ~(ends[:-2] | ends[1:-1] | ends[2:]) & (a != b) & (b != c) & (c != a)
    return np.asarray(triangles[is_valid])
