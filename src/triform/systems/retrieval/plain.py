"""The plain baseline: what retrieval reaches with nothing learned.

A picture is cut to its object, described by its gradients and its colours, and compared with 36
rendered views of every mesh; the best view counts.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from triform.geometry.mesh import Mesh
from triform.geometry.render import render
from triform.systems.retrieval.framing import frame, on_white

AZIMUTHS, ELEVATIONS = 12, (10, 25, 40)
_SIZE, _COLORS, _COLOR_WEIGHT = 64, 8, 0.5
_CELL, _DIRECTIONS = 8, 9


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
    images = [
        Image.fromarray(picture).resize((_SIZE, _SIZE), Image.Resampling.BILINEAR)
        for picture in on_white(framed)
    ]
    if not images:
        return np.zeros((0, 1), np.float32)
    gradients = _unit(histograms(np.stack([np.array(image.convert("L")) for image in images])))
    small = [image.resize((_COLORS, _COLORS), Image.Resampling.BOX) for image in images]
    colors = np.stack([np.array(image, np.float32).ravel() for image in small])
    colors = _unit(colors - colors.mean(1, keepdims=True))
    return _unit(np.concatenate([gradients, _COLOR_WEIGHT * colors], axis=1))


def histograms(grey: UInt8[np.ndarray, "n h w"]) -> Float32[np.ndarray, "n d"]:
    """Histograms of oriented gradients (Dalal and Triggs, CVPR 2005).

    Nine directions, cells of 8x8 pixels, blocks of 2x2 cells, "L2-Hys"; the numbers and their order
    are scikit-image's, of all pictures at once. Height and width are multiples of 8.
    """
    values = grey.astype(np.float32)
    down, across = np.zeros_like(values), np.zeros_like(values)
    down[:, 1:-1] = values[:, 2:] - values[:, :-2]
    across[:, :, 1:-1] = values[:, :, 2:] - values[:, :, :-2]
    strength = np.hypot(down, across)
    direction = np.rad2deg(np.arctan2(down, across)) % 180
    count, rows, columns = len(grey), grey.shape[1] // _CELL, grey.shape[2] // _CELL
    cells = np.empty((count, rows, columns, _DIRECTIONS), np.float32)
    width = 180 / _DIRECTIONS
    for number in range(_DIRECTIONS):
        inside = (direction >= number * width) & (direction < (number + 1) * width)
        chosen = np.where(inside, strength, 0).reshape(count, rows, _CELL, columns, _CELL)
        cells[..., number] = chosen.sum(axis=(2, 4)) / _CELL**2
    corners = [cells[:, i : rows - 1 + i, j : columns - 1 + j] for i in (0, 1) for j in (0, 1)]
    blocks = np.stack(corners, axis=3).reshape(count, rows - 1, columns - 1, -1)
    clipped = np.minimum(_of_block(blocks), 0.2)
    return _of_block(clipped).reshape(count, -1)


def _of_block(blocks: np.ndarray) -> np.ndarray:
    return np.asarray(blocks / np.sqrt((blocks**2).sum(axis=-1, keepdims=True) + 1e-10))


def _unit(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-9)).astype(np.float32)
