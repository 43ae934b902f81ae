"""Point clouds that are never quite the same twice."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

DROPPED_COLOR = 0.4
"""What every colour is where colours are left out, as in ReCon++."""
_JITTER_LIMIT = 5.0


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What happens to a point cloud before it is learned from.

    In this order: turn, stretch, shift, jitter, leave out colours. Pictures and voxels stay as
    they are.

    Attributes:
        scale: least and largest factor, drawn for each axis.
        rotation: largest turn about the up axis (+Y) in radians, either way; pi is any turn.
        translation: largest shift along each axis, either way.
        jitter: standard deviation of the noise on every coordinate, cut at five times as much.
        color_drop: how often all colours of a cloud become 0.4.
    """

    scale: tuple[float, float] = (2 / 3, 3 / 2)
    rotation: float = 0.0
    translation: float = 0.2
    jitter: float = 0.0
    color_drop: float = 0.0

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: a range that is none.
        """
        low, high = self.scale
        if not (0 < low <= high < math.inf):
            raise ValueError(f"augmentation: scale {self.scale} must be (least, largest) above 0")
        for name in ("rotation", "translation", "jitter"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"augmentation: {name} {getattr(self, name)} must be 0 or more")
        if not 0 <= self.color_drop <= 1:
            raise ValueError(f"augmentation: color_drop {self.color_drop} must be in [0, 1]")

    def transform(
        self, points: np.ndarray, normals: np.ndarray | None, random: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Move points, and turn their normals along.

        Args:
            points: (N, 3) float32.
            normals: (N, 3) float32 of length 1, or None.
            random: always asked for the same numbers in the same order.
        """
        angle = random.uniform(-self.rotation, self.rotation)
        cos, sin = math.cos(angle), math.sin(angle)
        turn = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
        scale = random.uniform(*self.scale, 3)
        shift = random.uniform(-self.translation, self.translation, 3)
        moved = (points @ (turn.T * scale) + shift).astype(np.float32)
        if self.jitter:
            noise = random.standard_normal(points.shape, dtype=np.float32)
            moved += np.float32(self.jitter) * noise.clip(-_JITTER_LIMIT, _JITTER_LIMIT)
        if normals is not None:
            # A stretch along x tilts what it passes less along x.
            normals = normals @ (turn.T / scale)
            lengths = np.linalg.norm(normals, axis=1, keepdims=True)
            normals = np.divide(
                normals, lengths, out=np.zeros_like(normals), where=lengths > 0
            ).astype(np.float32)
        return moved, normals

    def recolor(self, colors: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Colours (N, 3) in [0, 1], or 0.4 for all of them."""
        dropped = random.random() < self.color_drop
        return np.full_like(colors, DROPPED_COLOR) if dropped else colors
