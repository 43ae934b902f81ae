"""Formats that trimesh reads, joined into one triangle mesh with face colours."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import trimesh
from trimesh.resolvers import Resolver

from triform.geometry.colors import LARGEST_TEXTURE, UNCOLORED, srgb_from_linear, texture_means
from triform.geometry.mesh import Mesh, MeshError

LARGEST_FACE_COUNT = 20_000_000


def read_scene(data: bytes, file_type: str, find: Callable[[str], bytes | None]) -> Mesh:
    """Read a file of several parts.

    Args:
        data: content of the file.
        file_type: its format, as trimesh names it.
        find: gives the content of a file that this one refers to, or None.

    Returns:
        All placed triangle meshes as one mesh; vertices are not welded.

    Raises:
        MeshError: no faces, or too many.
        Exception: whatever trimesh's readers raise on damaged files.
    """
    scene = trimesh.load_scene(
        io.BytesIO(data), file_type=file_type, resolver=_Companions(find), process=False
    )
    return _join(scene)


def _join(scene: Any) -> Mesh:
    """Make one mesh of all placed triangle meshes of a trimesh scene."""
    placed = []
    for node in scene.graph.nodes_geometry:
        transform, geometry = scene.graph[node]
        part = scene.geometry[geometry]
        if isinstance(part, trimesh.Trimesh) and len(part.faces):
            placed.append((np.asarray(transform), part))
    if sum(len(part.faces) for _, part in placed) > LARGEST_FACE_COUNT:
        raise MeshError(f"more than {LARGEST_FACE_COUNT} faces; simplify the model first")
    vertices, faces, colors, offset = [], [], [], 0
    for transform, part in placed:
        vertices.append(part.vertices @ transform[:3, :3].T + transform[:3, 3])
        # Checked before the parts are joined, where an index could reach into the next part.
        own = Mesh(vertices[-1], part.faces).faces
        # A mirroring transform turns the faces inside out.
        faces.append((own if np.linalg.det(transform[:3, :3]) >= 0 else own[:, ::-1]) + offset)
        colors.append(_face_colors(part))
        offset += len(part.vertices)
    if not faces:
        raise MeshError("there are no faces in it")
    face_colors = None
    if any(color is not None for color in colors):
        face_colors = np.concatenate(
            [
                np.full((len(own), 3), UNCOLORED, dtype=np.uint8) if color is None else color
                for own, color in zip(faces, colors, strict=True)
            ]
        )
    return Mesh(np.concatenate(vertices), np.concatenate(faces), face_colors)


def _face_colors(part: Any) -> np.ndarray | None:
    """Read (F, 3) uint8 colours from one trimesh mesh, or None."""
    visual = part.visual
    if visual.kind == "face":
        return np.array(visual.face_colors[:, :3], dtype=np.uint8)
    if visual.kind == "vertex":
        corners = np.asarray(visual.vertex_colors)[:, :3][part.faces]
        return np.asarray(corners.mean(axis=1)).astype(np.uint8)
    material = getattr(visual, "material", None)
    if material is None:
        return None
    factor = np.ones(3)
    if isinstance(material, trimesh.visual.material.PBRMaterial):
        picture = material.baseColorTexture
        if material.baseColorFactor is not None:
            # glTF states factors as linear light.
            factor = srgb_from_linear(np.asarray(material.baseColorFactor)[:3] / 255)
    else:
        picture = material.image
        if picture is None:
            factor = np.asarray(material.main_color)[:3] / 255
    colors = np.tile(factor * 255, (len(part.faces), 1))
    uv = getattr(visual, "uv", None)
    if picture is not None and picture.width * picture.height > LARGEST_TEXTURE:
        picture = None
    if picture is not None and uv is not None and len(uv) == len(part.vertices):
        texture = np.asarray(picture.convert("RGB"))
        colors = texture_means(texture, np.asarray(uv)[:, :2][part.faces]) * factor
    return np.asarray(np.rint(colors)).astype(np.uint8)


class _Companions(Resolver):
    """Give trimesh's readers only what `find` allows."""

    def __init__(self, find: Callable[[str], bytes | None]) -> None:
        self.find = find

    def get(self, key: str) -> bytes:
        data = self.find(key)
        if data is None:
            raise FileNotFoundError(f"{key} is not in the folder of the model")
        return data

    def keys(self) -> list[str]:
        return []

    def write(self, name: str, data: Any) -> None:
        raise PermissionError(name)

    def namespaced(self, namespace: str) -> _Companions:
        return self
