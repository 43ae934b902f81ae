"""The plain baseline: what retrieval reaches with nothing learned.

A picture is cut to its object, described by its gradients and its colours, and compared with 36
rendered views of every mesh; the best view counts.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image
from skimage.feature import hog

from triform.geometry.mesh import Mesh
from triform.geometry.render import render
from triform.systems.retrieval.framing import frame, on_white

AZIMUTHS, ELEVATIONS = 12, (10, 25, 40)
_SIZE, _COLORS, _COLOR_WEIGHT = 64, 8, 0.5


def plain_views(mesh: Mesh, size: int = 96) -> UInt8[np.ndarray, "v s s 4"]:
    """Render the 36 views: twelve around at 10, 25 and 40 degrees above the horizon."""
    angles = [
        (math.radians(360 / AZIMUTHS * turn), math.radians(up))
        for up in ELEVATIONS
        for turn in range(AZIMUTHS)
    ]
    views = (render(mesh, 160, *pair, samples=2, background=None) for pair in angles)
    return np.stack([frame(view, size) for view in views])


def describe(framed: UInt8[np.ndarray, "n s s 4"]) -> Float32[np.ndarray, "n d"]:
    """Describe pictures as `frame` returns them: HOG and 8x8 colours, of length 1."""
    return np.stack([_describe(picture) for picture in on_white(framed)])


def best_view(queries: np.ndarray, views: np.ndarray) -> Float32[np.ndarray, "q n"]:
    """Compare queries (Q, D) with the views (N, V, D) of N meshes; the best view counts."""
    scores = queries @ views.reshape(-1, views.shape[-1]).T
    return np.asarray(scores.reshape(len(queries), *views.shape[:2]).max(axis=2))


def _describe(rgb: np.ndarray) -> np.ndarray:
    image = Image.fromarray(rgb).resize((_SIZE, _SIZE), Image.Resampling.BILINEAR)
    gradients = _unit(
        hog(np.array(image.convert("L")), block_norm="L2-Hys", cells_per_block=(2, 2))
    )
    small = image.resize((_COLORS, _COLORS), Image.Resampling.BOX)
    colors = np.array(small, np.float32).ravel()
    return _unit(np.concatenate([gradients, _COLOR_WEIGHT * _unit(colors - colors.mean())]))


def _unit(vector: np.ndarray) -> np.ndarray:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9)).astype(np.float32)
