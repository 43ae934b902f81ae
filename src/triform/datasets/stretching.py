"""Stretched copies of shapes, as augmentation."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np

from triform.datasets.shape import Shape
from triform.geometry.mesh import Mesh


@dataclass(frozen=True)
class StretchedSource:
    """Mesh source that scales the axes of another shape, as augmentation."""

    original: Shape
    factors: tuple[float, float, float]

    def load(self, *, appearance: bool = False) -> Mesh:
        mesh = self.original.load(appearance=appearance)
        return replace(mesh, vertices=mesh.vertices * np.asarray(self.factors))

    def preview(self) -> bytes | None:
        return None


def stretch(shape: Shape, copy: int, max_log_factor: float) -> Shape:
    """Stretched copy of a shape, with random factors seeded by its id and the index `copy`."""
    key = hashlib.sha256(f"{shape.object_id} {copy}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(key[:8], "little"))
    x, y, z = np.exp(rng.uniform(-max_log_factor, max_log_factor, 3)).tolist()
    factors = (x, y, z)
    factor_text = ",".join(f"{factor:.4f}" for factor in factors)
    return replace(
        shape,
        object_id=f"{shape.object_id} stretched {factor_text}",
        fingerprint=hashlib.sha256(f"{shape.fingerprint} {factor_text}".encode()).hexdigest(),
        origin=StretchedSource(shape, factors),
    )
