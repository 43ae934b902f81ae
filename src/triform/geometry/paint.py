"""What the drawing kernels need to know about the faces of a mesh, in flat arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int32, UInt8

from triform.geometry.appearance import Material
from triform.geometry.colors import UNCOLORED
from triform.geometry.mesh import Mesh
from triform.geometry.normals import corner_normals
from triform.geometry.texels import LARGEST_SIDE, Atlas, build_atlas

# How a face covers what is behind it: wholly; where its texture is; by blending.
SOLID, CUT_OUT, BLENDED = 0, 1, 2
# The faintest glass is drawn so strongly, that it can be seen at all.
LEAST_OPACITY = 0.3


class Paint(NamedTuple):
    """Arrays over the faces; those with "f*" have no rows where the mesh has no such thing.

    Attributes:
        tint: (F, 3) sRGB that multiplies everything else.
        kind: (F*,) SOLID, CUT_OUT or BLENDED.
        opacity: (F*,) of the material, for blended faces.
        texture: (F*,) index into the atlas, or -1.
        uv: (F*, 3, 2).
        corners: (F*, 3, 3) sRGB of vertex colours.
        normals: (F*, 3, 3) unit normals at the corners.
        atlas: all the textures.
    """

    tint: UInt8[np.ndarray, "f 3"]
    kind: UInt8[np.ndarray, " g"]
    opacity: Float32[np.ndarray, " h"]
    texture: Int32[np.ndarray, " i"]
    uv: Float32[np.ndarray, "j 3 2"]
    corners: UInt8[np.ndarray, "k 3 3"]
    normals: Float32[np.ndarray, "l 3 3"]
    atlas: Atlas

    @property
    def holes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, Atlas]:
        """What `rasterize` takes."""
        return self.kind, self.texture, self.uv, self.atlas

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """What `shade` takes: all arrays, those of the atlas last."""
        return (*self[:-1], *self.atlas)


def paint_of(mesh: Mesh, *, smooth: bool = False, largest_texture: int = LARGEST_SIDE) -> Paint:
    """Lay out the appearance of a mesh, or else its face colours, or else light grey."""
    count = len(mesh.faces)
    look = mesh.appearance
    tint = mesh.face_colors
    kind, opacity = np.zeros(0, np.uint8), np.zeros(0, np.float32)
    texture, uv = np.zeros(0, np.int32), np.zeros((0, 3, 2), np.float32)
    corners = np.zeros((0, 3, 3), np.uint8)
    textures: list[np.ndarray] = []
    if look is not None:
        materials = look.materials
        tint = np.array([material.color for material in materials], dtype=np.uint8)[look.material]
        kinds = np.array([_kind(material) for material in materials], dtype=np.uint8)
        # One picture may serve many materials, and many faces may use none.
        used = np.unique(look.material)
        places = np.full(len(materials), -1, dtype=np.int32)
        place_of: dict[int, int] = {}
        for index in used:
            picture = materials[index].texture
            if picture is not None and look.uv is not None:
                places[index] = place_of.setdefault(id(picture), len(place_of))
                if len(place_of) > len(textures):
                    textures.append(_solid_where_nothing_shows(picture))
        if kinds[used].any():
            kind = kinds[look.material]
            visible = [max(material.opacity, LEAST_OPACITY) for material in materials]
            opacity = np.array(visible, dtype=np.float32)[look.material]
        if textures and look.uv is not None:
            texture, uv = places[look.material], np.asarray(look.uv, dtype=np.float32)
        if look.corner_colors is not None:
            corners = np.ascontiguousarray(look.corner_colors)
    if tint is None:
        tint = np.full((count, 3), UNCOLORED, dtype=np.uint8)
    normals = corner_normals(mesh) if smooth else np.zeros((0, 3, 3), np.float32)
    atlas = build_atlas(textures, largest_texture)
    return Paint(tint, kind, opacity, texture, uv, corners, normals, atlas)


def _kind(material: Material) -> int:
    if material.opacity < 0.995:
        return BLENDED
    if material.texture is None or material.texture.shape[2] == 3:
        return SOLID
    alpha = material.texture[..., 3]
    if alpha.min() >= 250 or alpha.max() < 8:
        return SOLID
    # Leaves and grids have hard edges, curtains and panes are half there over wide areas.
    shown = np.count_nonzero(alpha >= 24)
    half = np.count_nonzero((alpha >= 24) & (alpha < 232))
    return BLENDED if half > 0.5 * shown else CUT_OUT


def _solid_where_nothing_shows(texture: np.ndarray) -> np.ndarray:
    """Drop an alpha channel that hides the whole picture: some exporters leave it empty."""
    hidden = texture.shape[2] == 4 and texture[..., 3].max() < 8
    return texture[..., :3] if hidden else texture


# Of a mesh with one colour per face, for who draws those himself.
PLAIN = Paint(
    np.zeros((0, 3), np.uint8), np.zeros(0, np.uint8), np.zeros(0, np.float32),
    np.zeros(0, np.int32), np.zeros((0, 3, 2), np.float32), np.zeros((0, 3, 3), np.uint8),
    np.zeros((0, 3, 3), np.float32), build_atlas([]),
)  # fmt: skip
