"""Blur and compression of batches of pictures, each with its own strength."""

from __future__ import annotations

import math

import torch
from torch import Tensor

# Steps of brightness in JPEG (ITU-T T.81, table K.1), in 255ths, at quality 50.
_STEPS = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)


def blur(pictures: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur of pictures (N, C, S, S) with sigma (N,) in pixels."""
    place = torch.arange(pictures.shape[-1], dtype=pictures.dtype)
    distance = place[:, None] - place
    kernel = torch.exp(-(distance**2) / (2 * sigma[:, None, None] ** 2))
    # At the edge, what lies outside does not count.
    kernel = (kernel / kernel.sum(2, keepdim=True))[:, None]
    return kernel @ pictures @ kernel.transpose(2, 3)


def compress(pictures: Tensor, strength: Tensor) -> Tensor:
    """JPEG's loss, on each channel by itself.

    Args:
        pictures: (N, C, S, S) in [0, 1].
        strength: (N,) of the steps; 1 is quality 50, 2.5 is quality 20.
    """
    count, channels, height, width = pictures.shape
    down, right = -height % 8, -width % 8
    padded = torch.nn.functional.pad(pictures, (0, right, 0, down), mode="replicate")
    rows, columns = padded.shape[2] // 8, padded.shape[3] // 8
    blocks = padded.view(count, channels, rows, 8, columns, 8).transpose(3, 4) - 0.5
    cosines = _cosines()
    steps = torch.tensor(_STEPS) / 255 * strength.view(-1, 1, 1, 1, 1, 1)
    waves = torch.round(cosines @ blocks @ cosines.T / steps) * steps
    blocks = (cosines.T @ waves @ cosines + 0.5).transpose(3, 4)
    return blocks.reshape(padded.shape)[..., :height, :width]


def _cosines() -> Tensor:
    """The orthonormal discrete cosine transform of eight numbers, (8, 8)."""
    place = torch.arange(8.0)
    table = torch.cos((2 * place + 1) * place[:, None] * math.pi / 16) / 2
    table[0] /= math.sqrt(2)
    return table
