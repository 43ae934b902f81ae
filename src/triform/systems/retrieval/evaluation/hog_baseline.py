"""Descriptors without learning: HOG and colours, the baseline of retrieval."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image
from skimage.feature import hog

from triform.images.framing import on_white

_SIZE, _COLOR_SIZE, _COLOR_WEIGHT = 64, 8, 0.5


def hog_descriptors(framed: UInt8[np.ndarray, "n s s 4"]) -> Float32[np.ndarray, "n d"]:
    """HOG (Dalal and Triggs, CVPR 2005) and 8x8 colours of framed images, of length 1.

    Nine directions, cells of 8x8 pixels, blocks of 2x2 cells, "L2-Hys".
    """
    images = [
        Image.fromarray(image).resize((_SIZE, _SIZE), Image.Resampling.BILINEAR)
        for image in on_white(framed)
    ]
    if not images:
        return np.zeros((0, 1), np.float32)
    gradients = _unit(
        np.stack(
            [
                hog(np.array(image.convert("L")), 9, pixels_per_cell=(8, 8), cells_per_block=(2, 2))
                for image in images
            ]
        )
    )
    small = [image.resize((_COLOR_SIZE,) * 2, Image.Resampling.BOX) for image in images]
    colors = np.stack([np.array(image, np.float32).ravel() for image in small])
    colors = _unit(colors - colors.mean(1, keepdims=True))
    return _unit(np.concatenate([gradients, _COLOR_WEIGHT * colors], axis=1))


def _unit(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-9)).astype(np.float32)
