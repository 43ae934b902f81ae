"""Materials, textures and vertex colours of a mesh."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int, UInt8


@dataclass(frozen=True, eq=False)
class Material:
    """A colour or a texture, with an opacity.

    Attributes:
        color: (3,) uint8 sRGB; multiplies the texture where there is one.
        texture: (H, W, 3) uint8 sRGB, or (H, W, 4) with straight alpha; its first row is the top.
        opacity: from 0, invisible, to 1; multiplies the texture's alpha.
    """

    color: UInt8[np.ndarray, " 3"]
    texture: UInt8[np.ndarray, "h w c"] | None = None
    opacity: float = 1.0


@dataclass(frozen=True, eq=False)
class Appearance:
    """Materials, texture coordinates and corner colours of the faces of a mesh.

    The colour of a surface point is the product of its material's colour, the texture and the
    interpolated corner colours.

    Attributes:
        material: (F,) int32, indices into `materials`.
        materials: the materials.
        uv: (F, 3, 2) float32 texture coordinates of the corners, or None; (0, 0) is a texture's
            lower left, and it repeats beyond [0, 1].
        corner_colors: (F, 3, 3) uint8 sRGB, or None.
    """

    material: Int[np.ndarray, " f"]
    materials: tuple[Material, ...]
    uv: Float[np.ndarray, "f 3 2"] | None = None
    corner_colors: UInt8[np.ndarray, "f 3 3"] | None = None

    def __post_init__(self) -> None:
        """Convert the arrays to their types; coordinates that are not finite become 0."""
        object.__setattr__(self, "material", np.ascontiguousarray(self.material, dtype=np.int32))
        if self.uv is not None:
            with np.errstate(over="ignore", invalid="ignore"):
                uv = np.ascontiguousarray(self.uv, dtype=np.float32)
            if not np.isfinite(uv).all():
                uv = np.nan_to_num(uv, nan=0.0, posinf=0.0, neginf=0.0)
            object.__setattr__(self, "uv", uv)

    def validation_error(self, num_faces: int) -> str:
        """Return what does not fit a mesh of `num_faces` faces; "" if all fits."""
        if self.material.shape != (num_faces,):
            return f"material is {self.material.shape}, expected ({num_faces},)"
        if num_faces and not 0 <= self.material.min() <= self.material.max() < len(self.materials):
            return (
                f"material runs from {self.material.min()} to {self.material.max()}, "
                f"but there are {len(self.materials)} materials"
            )
        if self.uv is not None and self.uv.shape != (num_faces, 3, 2):
            return f"uv is {self.uv.shape}, expected ({num_faces}, 3, 2)"
        colors = self.corner_colors
        if colors is not None and (colors.shape != (num_faces, 3, 3) or colors.dtype != np.uint8):
            return f"corner_colors are {colors.dtype} {colors.shape}, expected uint8 (F, 3, 3)"
        return ""

    def take(self, faces: Int[np.ndarray, " n"]) -> Appearance:
        """Return the appearance of selected faces, in that order."""
        return Appearance(
            self.material[faces],
            self.materials,
            None if self.uv is None else self.uv[faces],
            None if self.corner_colors is None else self.corner_colors[faces],
        )

    def colors_at(
        self, faces: Int[np.ndarray, " n"], barycentric: Float[np.ndarray, "n 3"]
    ) -> UInt8[np.ndarray, "n 3"]:
        """Return the colours of surface points.

        Args:
            faces: (N,) indices of their faces.
            barycentric: (N, 3) barycentric coordinates.
        """
        return np.asarray(np.rint(self.rgba_at(faces, barycentric)[:, :3])).astype(np.uint8)

    def rgba_at(
        self, faces: Int[np.ndarray, " n"], barycentric: Float[np.ndarray, "n 3"]
    ) -> Float32[np.ndarray, "n 4"]:
        """Return (N, 4) float32: sRGB in 0 to 255, and opacity in 0 to 1; see `colors_at`."""
        used_materials, local_index = np.unique(self.material[faces], return_inverse=True)
        rgba = np.empty((len(faces), 4), dtype=np.float32)
        for local, index in enumerate(used_materials):
            material = self.materials[index]
            selected = np.flatnonzero(local_index == local)
            rgba[selected] = (*material.color, material.opacity)
            if material.texture is None or self.uv is None:
                continue
            uv = np.einsum("nc,nck->nk", barycentric[selected], self.uv[faces[selected]])
            texels = _sample_nearest(material.texture, uv)
            rgba[selected, :3] *= texels[:, :3] / 255
            if texels.shape[1] == 4:
                rgba[selected, 3] *= texels[:, 3] / 255
        if self.corner_colors is not None:
            color_parts = np.einsum("nc,nck->nk", barycentric, self.corner_colors[faces])
            rgba[:, :3] *= color_parts / 255
        return rgba


def concatenate_appearances(
    parts: Sequence[tuple[int, Appearance | None]], color: Sequence[int]
) -> Appearance:
    """Concatenate the appearances of meshes.

    Args:
        parts: number of faces and appearance of each mesh, or None.
        color: sRGB of the meshes without appearance.
    """
    materials: list[Material] = []
    material_parts, uv_parts, color_parts = [], [], []
    for count, appearance in parts:
        part = appearance or Appearance(
            np.zeros(count, np.int32), (Material(np.array(color, np.uint8)),)
        )
        material_parts.append(part.material + len(materials))
        materials += part.materials
        uv_parts.append(part.uv)
        color_parts.append(part.corner_colors)
    counts = [count for count, _ in parts]
    return Appearance(
        np.concatenate(material_parts),
        tuple(materials),
        concatenate_corners(uv_parts, counts, np.zeros((3, 2), np.float32)),
        concatenate_corners(color_parts, counts, np.full((3, 3), 255, np.uint8)),
    )


def concatenate_corners(
    arrays: list[np.ndarray | None], counts: list[int], fill: np.ndarray
) -> np.ndarray | None:
    """Concatenate arrays over corners, missing ones filled; None if all are missing."""
    if all(array is None for array in arrays):
        return None
    return np.concatenate(
        [
            np.tile(fill, (count, 1, 1)) if array is None else array
            for array, count in zip(arrays, counts, strict=True)
        ]
    )


def _sample_nearest(texture: np.ndarray, uv: np.ndarray) -> np.ndarray:
    height, width = texture.shape[:2]
    u, v = uv[:, 0] % 1.0, -uv[:, 1] % 1.0
    columns = np.minimum((u * width).astype(np.int64), width - 1)
    return np.asarray(texture[np.minimum((v * height).astype(np.int64), height - 1), columns])
