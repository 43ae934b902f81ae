"""Gaussian blur and JPEG compression of batches of images, each with its own strength."""

from __future__ import annotations

import math

import torch
from torch import Tensor

# Luminance quantisation table of JPEG (ITU-T T.81, table K.1), in 255ths, at quality 50.
_QUANTIZATION = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)


def blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur of images (N, C, S, S) with sigma (N,) in pixels."""
    position = torch.arange(images.shape[-1], dtype=images.dtype)
    distance = position[:, None] - position
    kernel = torch.exp(-(distance**2) / (2 * sigma[:, None, None] ** 2))
    # Normalised, so that pixels outside the image have no weight.
    kernel = (kernel / kernel.sum(2, keepdim=True))[:, None]
    return kernel @ images @ kernel.transpose(2, 3)


def compress(images: Tensor, strength: Tensor) -> Tensor:
    """Quantise as JPEG does, each channel by itself.

    Args:
        images: (N, C, S, S) in [0, 1].
        strength: (N,) factor of the quantisation table; 1 is quality 50, 2.5 is quality 20.
    """
    count, channels, height, width = images.shape
    bottom, right = -height % 8, -width % 8
    padded = torch.nn.functional.pad(images, (0, right, 0, bottom), mode="replicate")
    rows, columns = padded.shape[2] // 8, padded.shape[3] // 8
    blocks = padded.view(count, channels, rows, 8, columns, 8).transpose(3, 4) - 0.5
    dct = _dct_matrix()
    steps = torch.tensor(_QUANTIZATION) / 255 * strength.view(-1, 1, 1, 1, 1, 1)
    coefficients = torch.round(dct @ blocks @ dct.T / steps) * steps
    blocks = (dct.T @ coefficients @ dct + 0.5).transpose(3, 4)
    return blocks.reshape(padded.shape)[..., :height, :width]


def _dct_matrix() -> Tensor:
    """The orthonormal discrete cosine transform of eight numbers, (8, 8)."""
    n = torch.arange(8.0)
    table = torch.cos((2 * n + 1) * n[:, None] * math.pi / 16) / 2
    table[0] /= math.sqrt(2)
    return table
