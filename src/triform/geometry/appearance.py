"""How the faces of a mesh look beyond one colour each: materials, textures, vertex colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int, UInt8


@dataclass(frozen=True, eq=False)
class Material:
    """A colour or a picture, more or less transparent.

    Attributes:
        color: (3,) uint8 sRGB; multiplies the texture where there is one.
        texture: (H, W, 3) uint8 sRGB, or (H, W, 4) with straight alpha; its first row is the top.
        opacity: 1 is solid, 0 is not there; multiplies the texture's alpha.
    """

    color: UInt8[np.ndarray, " 3"]
    texture: UInt8[np.ndarray, "h w c"] | None = None
    opacity: float = 1.0


@dataclass(frozen=True, eq=False)
class Appearance:
    """How every face of a mesh is painted.

    The colour at a place is that of its material, times the texture there, times the corners'
    colours.

    Attributes:
        material: (F,) int32, indices into `materials`.
        materials: what they stand for.
        uv: (F, 3, 2) float32 texture coordinates of the corners, or None; (0, 0) is a texture's
            lower left, and beyond [0, 1] it repeats.
        corner_colors: (F, 3, 3) uint8 sRGB, or None.
    """

    material: Int[np.ndarray, " f"]
    materials: tuple[Material, ...]
    uv: Float[np.ndarray, "f 3 2"] | None = None
    corner_colors: UInt8[np.ndarray, "f 3 3"] | None = None

    def __post_init__(self) -> None:
        """Bring the arrays to their types; coordinates that are not finite become 0."""
        object.__setattr__(self, "material", np.ascontiguousarray(self.material, dtype=np.int32))
        if self.uv is not None:
            with np.errstate(over="ignore", invalid="ignore"):
                uv = np.ascontiguousarray(self.uv, dtype=np.float32)
            if not np.isfinite(uv).all():
                uv = np.nan_to_num(uv, nan=0.0, posinf=0.0, neginf=0.0)
            object.__setattr__(self, "uv", uv)

    def problem(self, num_faces: int) -> str:
        """Say what does not fit a mesh of so many faces; "" where all does."""
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
        """Return the appearance of a selection of the faces, in that order."""
        return Appearance(
            self.material[faces],
            self.materials,
            None if self.uv is None else self.uv[faces],
            None if self.corner_colors is None else self.corner_colors[faces],
        )

    def colors_at(
        self, faces: Int[np.ndarray, " n"], barycentric: Float[np.ndarray, "n 3"]
    ) -> UInt8[np.ndarray, "n 3"]:
        """Return the colour at places on the faces.

        Args:
            faces: (N,) which face.
            barycentric: (N, 3) shares of its corners, which add up to 1.
        """
        return np.asarray(np.rint(self._look(faces, barycentric)[:, :3])).astype(np.uint8)

    def opacity_at(
        self, faces: Int[np.ndarray, " n"], barycentric: Float[np.ndarray, "n 3"]
    ) -> Float32[np.ndarray, " n"]:
        """Return how solid the faces are at places on them: 0 in the holes of a leaf's texture."""
        return np.asarray(self._look(faces, barycentric)[:, 3])

    def _look(self, faces: np.ndarray, barycentric: np.ndarray) -> np.ndarray:
        """Return (N, 4): sRGB in 0 to 255, and opacity in 0 to 1."""
        used, kinds = np.unique(self.material[faces], return_inverse=True)
        found = np.empty((len(faces), 4), dtype=np.float32)
        for kind, index in enumerate(used):
            material = self.materials[index]
            chosen = np.flatnonzero(kinds == kind)
            found[chosen] = (*material.color, material.opacity)
            if material.texture is None or self.uv is None:
                continue
            uv = np.einsum("nc,nck->nk", barycentric[chosen], self.uv[faces[chosen]])
            texels = _nearest(material.texture, uv)
            found[chosen, :3] *= texels[:, :3] / 255
            if texels.shape[1] == 4:
                found[chosen, 3] *= texels[:, 3] / 255
        if self.corner_colors is not None:
            corners = np.einsum("nc,nck->nk", barycentric, self.corner_colors[faces])
            found[:, :3] *= corners / 255
        return found


def join(parts: Sequence[tuple[int, Appearance | None]], color: Sequence[int]) -> Appearance:
    """Join the appearances of meshes that become one.

    Args:
        parts: number of faces and appearance of each; None is plain.
        color: sRGB of the plain ones.
    """
    materials: list[Material] = []
    indices, uvs, corners = [], [], []
    for count, given in parts:
        part = given or Appearance(
            np.zeros(count, np.int32), (Material(np.array(color, np.uint8)),)
        )
        indices.append(part.material + len(materials))
        materials += part.materials
        uvs.append(part.uv)
        corners.append(part.corner_colors)
    counts = [count for count, _ in parts]
    return Appearance(
        np.concatenate(indices),
        tuple(materials),
        _join(uvs, counts, np.zeros((3, 2), np.float32)),
        _join(corners, counts, np.full((3, 3), 255, np.uint8)),
    )


def _join(
    arrays: list[np.ndarray | None], counts: list[int], empty: np.ndarray
) -> np.ndarray | None:
    if all(array is None for array in arrays):
        return None
    return np.concatenate(
        [
            np.tile(empty, (count, 1, 1)) if array is None else array
            for array, count in zip(arrays, counts, strict=True)
        ]
    )


def _nearest(texture: np.ndarray, uv: np.ndarray) -> np.ndarray:
    height, width = texture.shape[:2]
    u, v = uv[:, 0] % 1.0, -uv[:, 1] % 1.0
    columns = np.minimum((u * width).astype(np.int64), width - 1)
    return np.asarray(texture[np.minimum((v * height).astype(np.int64), height - 1), columns])
