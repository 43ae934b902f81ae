"""Colours, textures and normals of the faces of a mesh in flat arrays, as the kernels read them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int32, UInt8

from triform.geometry.appearance import Material
from triform.geometry.colors import UNCOLORED
from triform.geometry.mesh import Mesh
from triform.geometry.render.mipmaps import MAX_TEXTURE_SIZE, Atlas, build_atlas
from triform.geometry.render.normals import corner_normals

# How a face covers what is behind it, as glTF's `alphaMode`.
OPAQUE, MASK, BLEND = 0, 1, 2
# Fainter materials are drawn with this opacity, so that glass stays visible.
MIN_OPACITY = 0.3


class FaceAttributes(NamedTuple):
    """Arrays over the faces; those with F* rows are empty where the mesh has no such attribute.

    Attributes:
        base_color: (F, 3) sRGB; multiplies texture and vertex colours.
        alpha_mode: (F*,) OPAQUE, MASK or BLEND.
        opacity: (F*,) of the material, for blended faces.
        texture: (F*,) index into the atlas, or -1.
        uv: (F*, 3, 2).
        corner_colors: (F*, 3, 3) sRGB vertex colours.
        normals: (F*, 3, 3) unit normals at the corners.
        atlas: the textures with their mip levels.
    """

    base_color: UInt8[np.ndarray, "f 3"]
    alpha_mode: UInt8[np.ndarray, " g"]
    opacity: Float32[np.ndarray, " h"]
    texture: Int32[np.ndarray, " i"]
    uv: Float32[np.ndarray, "j 3 2"]
    corner_colors: UInt8[np.ndarray, "k 3 3"]
    normals: Float32[np.ndarray, "l 3 3"]
    atlas: Atlas


def build_face_attributes(
    mesh: Mesh, *, smooth: bool = False, max_texture_size: int = MAX_TEXTURE_SIZE
) -> FaceAttributes:
    """Collect the attributes of a mesh: its appearance, else its face colours, else light grey."""
    count = len(mesh.faces)
    appearance = mesh.appearance
    base_color = mesh.face_colors
    alpha_mode, opacity = np.zeros(0, np.uint8), np.zeros(0, np.float32)
    texture, uv = np.zeros(0, np.int32), np.zeros((0, 3, 2), np.float32)
    corner_colors = np.zeros((0, 3, 3), np.uint8)
    textures: list[np.ndarray] = []
    if appearance is not None:
        materials = appearance.materials
        base_color = np.array([material.color for material in materials], dtype=np.uint8)[
            appearance.material
        ]
        modes = np.array([_alpha_mode(material) for material in materials], dtype=np.uint8)
        # One image may serve many materials, and many faces may use none.
        used_materials = np.unique(appearance.material)
        texture_index = np.full(len(materials), -1, dtype=np.int32)
        index_of_image: dict[int, int] = {}
        for index in used_materials:
            image = materials[index].texture
            if image is not None and appearance.uv is not None:
                texture_index[index] = index_of_image.setdefault(id(image), len(index_of_image))
                if len(index_of_image) > len(textures):
                    textures.append(_without_hiding_alpha(image))
        if modes[used_materials].any():
            alpha_mode = modes[appearance.material]
            opacities = [max(material.opacity, MIN_OPACITY) for material in materials]
            opacity = np.array(opacities, dtype=np.float32)[appearance.material]
        if textures and appearance.uv is not None:
            texture, uv = (
                texture_index[appearance.material],
                np.asarray(appearance.uv, dtype=np.float32),
            )
        if appearance.corner_colors is not None:
            corner_colors = np.ascontiguousarray(appearance.corner_colors)
    if base_color is None:
        base_color = np.full((count, 3), UNCOLORED, dtype=np.uint8)
    normals = corner_normals(mesh) if smooth else np.zeros((0, 3, 3), np.float32)
    atlas = build_atlas(textures, max_texture_size)
    return FaceAttributes(
        base_color, alpha_mode, opacity, texture, uv, corner_colors, normals, atlas
    )


def _alpha_mode(material: Material) -> int:
    if material.opacity < 0.995:
        return BLEND
    if material.texture is None or material.texture.shape[2] == 3:
        return OPAQUE
    alpha = material.texture[..., 3]
    if alpha.min() >= 250 or alpha.max() < 8:
        return OPAQUE
    # Leaves and lattices have hard edges; curtains and panes are translucent over wide areas.
    visible = np.count_nonzero(alpha >= 24)
    translucent = np.count_nonzero((alpha >= 24) & (alpha < 232))
    return BLEND if translucent > 0.5 * visible else MASK


def _without_hiding_alpha(texture: np.ndarray) -> np.ndarray:
    """Drop an alpha channel that hides the whole texture; some exporters leave it at zero."""
    hidden = texture.shape[2] == 4 and texture[..., 3].max() < 8
    return texture[..., :3] if hidden else texture
