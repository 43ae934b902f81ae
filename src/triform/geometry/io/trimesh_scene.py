"""Reading of glTF, COLLADA, 3MF, PLY and STL by trimesh, as one mesh with colours."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import trimesh
from trimesh.resolvers import Resolver

from triform.geometry.appearance import Appearance, Material, concatenate_appearances
from triform.geometry.colors import UNCOLORED, srgb_from_linear, texture_means
from triform.geometry.io.gltf_images import replace_images
from triform.geometry.io.limits import MAX_FACE_COUNT
from triform.geometry.io.textures import Textures
from triform.geometry.mesh import Mesh, MeshError

# trimesh logs a traceback for every missing file; `Textures` warns about those.
logging.getLogger("trimesh").setLevel(logging.CRITICAL)


def read_scene(
    data: bytes,
    file_type: str,
    find: Callable[[str], bytes | None],
    *,
    appearance: bool = False,
    name: str = "model",
) -> Mesh:
    """Read a file as one mesh.

    trimesh would open images with any decoder of Pillow. They are decoded here instead, and trimesh
    gets placeholders of one pixel whose colour is an index.

    Args:
        data: content of the file.
        file_type: its format, as trimesh names it.
        find: returns the content of a file that this one refers to, or None.
        appearance: read materials, textures and vertex colours as well.
        name: name of the model in warnings.

    Returns:
        All instances of triangle meshes as one mesh; vertices are not welded.

    Raises:
        MeshError: no faces, or too many.
        Exception: whatever trimesh's readers raise on damaged files.
    """
    textures = Textures(find, name)
    resolver: Resolver = _PlaceholderResolver(textures)
    if file_type in ("glb", "gltf"):
        data, resolver = replace_images(data, file_type, textures), _FileResolver(find)
    scene = trimesh.load_scene(
        io.BytesIO(data), file_type=file_type, resolver=resolver, process=False
    )
    textures.report_problems()
    return _concatenate(scene, textures, appearance)


def _concatenate(scene: Any, textures: Textures, appearance: bool) -> Mesh:
    """Concatenate all instances of triangle meshes in a trimesh scene."""
    instances = []
    for node in scene.graph.nodes_geometry:
        transform, geometry = scene.graph[node]
        trimesh_mesh = scene.geometry[geometry]
        if isinstance(trimesh_mesh, trimesh.Trimesh) and len(trimesh_mesh.faces):
            instances.append((np.asarray(transform), trimesh_mesh))
    if sum(len(trimesh_mesh.faces) for _, trimesh_mesh in instances) > MAX_FACE_COUNT:
        raise MeshError(f"more than {MAX_FACE_COUNT} faces; simplify the model first")
    vertices, faces, colors, offset = [], [], [], 0
    appearances: list[tuple[int, Appearance | None]] = []
    for transform, trimesh_mesh in instances:
        vertices.append(trimesh_mesh.vertices @ transform[:3, :3].T + transform[:3, 3])
        # Checked per mesh; once concatenated, an index could reach into the next mesh.
        part_faces = Mesh(vertices[-1], trimesh_mesh.faces).faces
        # A reflection inverts the winding of the faces.
        is_mirrored = bool(np.linalg.det(transform[:3, :3]) < 0)
        faces.append((part_faces[:, ::-1] if is_mirrored else part_faces) + offset)
        colors.append(_face_colors(trimesh_mesh, textures))
        if appearance:
            appearances.append((len(part_faces), _appearance(trimesh_mesh, is_mirrored, textures)))
        offset += len(trimesh_mesh.vertices)
    if not faces:
        raise MeshError("there are no faces in it")
    face_colors = None
    if any(color is not None for color in colors):
        face_colors = np.concatenate(
            [
                np.full((len(part_faces), 3), UNCOLORED, dtype=np.uint8) if color is None else color
                for part_faces, color in zip(faces, colors, strict=True)
            ]
        )
    mesh = Mesh(np.concatenate(vertices), np.concatenate(faces), face_colors)
    if all(part_appearance is None for _, part_appearance in appearances):
        return mesh
    return replace(mesh, appearance=concatenate_appearances(appearances, UNCOLORED))


def _face_colors(trimesh_mesh: Any, textures: Textures) -> np.ndarray | None:
    """Read (F, 3) uint8 colours from one trimesh mesh, or None."""
    visual = trimesh_mesh.visual
    if visual.kind == "face":
        return np.array(visual.face_colors[:, :3], dtype=np.uint8)
    if visual.kind == "vertex":
        corner_colors = np.asarray(visual.vertex_colors)[:, :3][trimesh_mesh.faces]
        return np.asarray(corner_colors.mean(axis=1)).astype(np.uint8)
    material = getattr(visual, "material", None)
    if material is None:
        return None
    factor = np.ones(3)
    texture = _texture(material, textures)
    if isinstance(material, trimesh.visual.material.PBRMaterial):
        if material.baseColorFactor is not None:
            # glTF states factors as linear light.
            factor = srgb_from_linear(np.asarray(material.baseColorFactor)[:3] / 255)
    elif texture is None:
        factor = np.asarray(material.main_color)[:3] / 255
    colors = np.tile(factor * 255, (len(trimesh_mesh.faces), 1))
    uv = getattr(visual, "uv", None)
    if texture is not None and uv is not None and len(uv) == len(trimesh_mesh.vertices):
        colors = texture_means(texture[..., :3], np.asarray(uv)[:, :2][trimesh_mesh.faces]) * factor
    return np.asarray(np.rint(colors)).astype(np.uint8)


def _appearance(trimesh_mesh: Any, is_mirrored: bool, textures: Textures) -> Appearance | None:
    """Read the materials, textures and vertex colours of one trimesh mesh.

    Args:
        trimesh_mesh: the mesh.
        is_mirrored: whether the winding of its faces was inverted.
        textures: the textures behind the placeholders.
    """
    visual, count = trimesh_mesh.visual, len(trimesh_mesh.faces)
    order = slice(None, None, -1 if is_mirrored else 1)
    white = np.full(3, 255, dtype=np.uint8)
    if visual.kind == "face":
        rgba, color_index = np.unique(visual.face_colors, axis=0, return_inverse=True)
        materials = [Material(row[:3].astype(np.uint8), None, float(row[3]) / 255) for row in rgba]
        return Appearance(color_index.reshape(-1), tuple(materials))
    if visual.kind == "vertex":
        rgba = np.asarray(visual.vertex_colors)[trimesh_mesh.faces[:, order]]
        # One opacity for the whole mesh: the mean of its corners.
        material = Material(white, None, float(rgba[..., 3].mean()) / 255)
        return Appearance(
            np.zeros(count, np.int32), (material,), None, rgba[..., :3].astype(np.uint8)
        )
    trimesh_material = getattr(visual, "material", None)
    if trimesh_material is None:
        return None
    material, uses_alpha = _material(trimesh_material)
    uv = getattr(visual, "uv", None)
    texture = _texture(trimesh_material, textures)
    uv_of_face = None
    if texture is not None and uv is not None and len(uv) == len(trimesh_mesh.vertices):
        texture = texture if uses_alpha else textures.opaque(texture)
        material = Material(material.color, texture, material.opacity)
        uv_of_face = np.asarray(uv)[:, :2][trimesh_mesh.faces[:, order]]
    corner_colors = None
    vertex_colors = getattr(visual, "vertex_attributes", {}).get("color")
    if vertex_colors is not None and len(vertex_colors) == len(trimesh_mesh.vertices):
        # Integers of 8 or 16 bits, or floats.
        corner_colors = trimesh.visual.color.to_rgba(vertex_colors)[:, :3][
            trimesh_mesh.faces[:, order]
        ]
    return Appearance(np.zeros(count, np.int32), (material,), uv_of_face, corner_colors)


def _material(trimesh_material: Any) -> tuple[Material, bool]:
    """Convert a trimesh material without its texture; also return whether alpha is used."""
    if isinstance(trimesh_material, trimesh.visual.material.PBRMaterial):
        factor, opacity = np.ones(3), 1.0
        uses_alpha = (trimesh_material.alphaMode or "OPAQUE") != "OPAQUE"
        if trimesh_material.baseColorFactor is not None:
            values = np.asarray(trimesh_material.baseColorFactor) / 255
            # glTF states factors as linear light.
            factor = srgb_from_linear(values[:3])
            if uses_alpha and len(values) == 4:
                opacity = float(values[3])
        return Material(np.rint(factor * 255).astype(np.uint8), None, opacity), uses_alpha
    color = np.asarray(trimesh_material.main_color)
    opacity = float(color[3]) / 255 if len(color) == 4 else 1.0
    rgb = color[:3] if trimesh_material.image is None else np.full(3, 255)
    return Material(rgb.astype(np.uint8), None, opacity), True


def _texture(material: Any, textures: Textures) -> np.ndarray | None:
    """Return the colour texture of a trimesh material, or None."""
    is_pbr = isinstance(material, trimesh.visual.material.PBRMaterial)
    return textures.texture_of_placeholder(material.baseColorTexture if is_pbr else material.image)


class _FileResolver(Resolver):
    """Resolver for trimesh that returns only files that `find` allows."""

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

    def namespaced(self, namespace: str) -> _FileResolver:
        return self


class _PlaceholderResolver(_FileResolver):
    """Resolver for trimesh that returns placeholders of textures, the only files formats name."""

    def __init__(self, textures: Textures) -> None:
        super().__init__(textures.find)
        self.textures = textures

    def get(self, key: str) -> bytes:
        texture = self.textures.get(key)
        if texture is None:
            raise FileNotFoundError(f"{key} is no texture in the folder of the model")
        return self.textures.placeholder(texture)
