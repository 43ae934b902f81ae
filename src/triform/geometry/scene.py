"""Formats that trimesh reads, joined into one triangle mesh with face colours."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import trimesh
from trimesh.resolvers import Resolver

from triform.geometry.appearance import Appearance, Material, join
from triform.geometry.colors import UNCOLORED, srgb_from_linear, texture_means
from triform.geometry.gltf_images import replace_images
from triform.geometry.limits import LARGEST_FACE_COUNT
from triform.geometry.mesh import Mesh, MeshError
from triform.geometry.textures import Textures

# It writes tracebacks of every file that it does not find; what is missing is said here.
logging.getLogger("trimesh").setLevel(logging.CRITICAL)


def read_scene(
    data: bytes,
    file_type: str,
    find: Callable[[str], bytes | None],
    *,
    appearance: bool = False,
    name: str = "model",
) -> Mesh:
    """Read a file of several parts.

    trimesh opens images with whatever Pillow knows. It therefore sees none: all are read here, and
    in their place it gets images of one pixel whose colour is a number.

    Args:
        data: content of the file.
        file_type: its format, as trimesh names it.
        find: gives the content of a file that this one refers to, or None.
        appearance: keep materials, textures and vertex colours as well.
        name: what a warning calls the model.

    Returns:
        All placed triangle meshes as one mesh; vertices are not welded.

    Raises:
        MeshError: no faces, or too many.
        Exception: whatever trimesh's readers raise on damaged files.
    """
    textures = Textures(find, name)
    resolver: Resolver = _TextureFiles(textures)
    if file_type in ("glb", "gltf"):
        data, resolver = replace_images(data, file_type, textures), _Companions(find)
    scene = trimesh.load_scene(
        io.BytesIO(data), file_type=file_type, resolver=resolver, process=False
    )
    textures.finish()
    return _join(scene, textures, appearance)


def _join(scene: Any, textures: Textures, appearance: bool) -> Mesh:
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
    looks: list[tuple[int, Appearance | None]] = []
    for transform, part in placed:
        vertices.append(part.vertices @ transform[:3, :3].T + transform[:3, 3])
        # Checked before the parts are joined, where an index could reach into the next part.
        own = Mesh(vertices[-1], part.faces).faces
        # A mirroring transform turns the faces inside out.
        turned = bool(np.linalg.det(transform[:3, :3]) < 0)
        faces.append((own[:, ::-1] if turned else own) + offset)
        colors.append(_face_colors(part, textures))
        if appearance:
            looks.append((len(own), _appearance(part, turned, textures)))
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
    look = None
    if any(part is not None for _, part in looks):
        look = join(looks, UNCOLORED)
    return Mesh(np.concatenate(vertices), np.concatenate(faces), face_colors, look)


def _face_colors(part: Any, textures: Textures) -> np.ndarray | None:
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
    texture = _texture(material, textures)
    if isinstance(material, trimesh.visual.material.PBRMaterial):
        if material.baseColorFactor is not None:
            # glTF states factors as linear light.
            factor = srgb_from_linear(np.asarray(material.baseColorFactor)[:3] / 255)
    elif texture is None:
        factor = np.asarray(material.main_color)[:3] / 255
    colors = np.tile(factor * 255, (len(part.faces), 1))
    uv = getattr(visual, "uv", None)
    if texture is not None and uv is not None and len(uv) == len(part.vertices):
        colors = texture_means(texture[..., :3], np.asarray(uv)[:, :2][part.faces]) * factor
    return np.asarray(np.rint(colors)).astype(np.uint8)


def _appearance(part: Any, turned: bool, textures: Textures) -> Appearance | None:
    """Read the materials, textures and vertex colours of one trimesh mesh.

    Args:
        part: the mesh.
        turned: whether its faces have been turned inside out.
        textures: what the images stand for.
    """
    visual, count = part.visual, len(part.faces)
    order = slice(None, None, -1 if turned else 1)
    white = np.full(3, 255, dtype=np.uint8)
    if visual.kind == "face":
        rgba, of_face = np.unique(visual.face_colors, axis=0, return_inverse=True)
        materials = [Material(row[:3].astype(np.uint8), None, float(row[3]) / 255) for row in rgba]
        return Appearance(of_face.reshape(-1), tuple(materials))
    if visual.kind == "vertex":
        rgba = np.asarray(visual.vertex_colors)[part.faces[:, order]]
        # A thing has one opacity, however many corners state it.
        material = Material(white, None, float(rgba[..., 3].mean()) / 255)
        return Appearance(
            np.zeros(count, np.int32), (material,), None, rgba[..., :3].astype(np.uint8)
        )
    given = getattr(visual, "material", None)
    if given is None:
        return None
    material, uses_alpha = _material(given)
    uv = getattr(visual, "uv", None)
    pixels = _texture(given, textures)
    uv_of_face = None
    if pixels is not None and uv is not None and len(uv) == len(part.vertices):
        shown = pixels if uses_alpha else textures.opaque(pixels)
        material = Material(material.color, shown, material.opacity)
        uv_of_face = np.asarray(uv)[:, :2][part.faces[:, order]]
    corners = None
    shades = getattr(visual, "vertex_attributes", {}).get("color")
    if shades is not None and len(shades) == len(part.vertices):
        # Whole numbers of 8 or 16 bit, or fractions.
        corners = trimesh.visual.color.to_rgba(shades)[:, :3][part.faces[:, order]]
    return Appearance(np.zeros(count, np.int32), (material,), uv_of_face, corners)


def _material(given: Any) -> tuple[Material, bool]:
    """Read one trimesh material without its texture, and whether that one's alpha counts."""
    if isinstance(given, trimesh.visual.material.PBRMaterial):
        factor, opacity = np.ones(3), 1.0
        blends = (given.alphaMode or "OPAQUE") != "OPAQUE"
        if given.baseColorFactor is not None:
            values = np.asarray(given.baseColorFactor) / 255
            # glTF states factors as linear light.
            factor = srgb_from_linear(values[:3])
            if blends and len(values) == 4:
                opacity = float(values[3])
        return Material(np.rint(factor * 255).astype(np.uint8), None, opacity), blends
    color = np.asarray(given.main_color)
    opacity = float(color[3]) / 255 if len(color) == 4 else 1.0
    shown = color[:3] if given.image is None else np.full(3, 255)
    return Material(shown.astype(np.uint8), None, opacity), True


def _texture(material: Any, textures: Textures) -> np.ndarray | None:
    """Return the colour texture of a trimesh material, or None."""
    is_pbr = isinstance(material, trimesh.visual.material.PBRMaterial)
    return textures.stood_for(material.baseColorTexture if is_pbr else material.image)


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


class _TextureFiles(_Companions):
    """Give trimesh's readers stand-ins of textures; formats that name no other files use it."""

    def __init__(self, textures: Textures) -> None:
        super().__init__(textures.find)
        self.textures = textures

    def get(self, key: str) -> bytes:
        texture = self.textures.get(key)
        if texture is None:
            raise FileNotFoundError(f"{key} is no texture in the folder of the model")
        return self.textures.stand_in(texture)
