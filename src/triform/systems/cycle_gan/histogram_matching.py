"""Baseline of translations: histogram matching of every channel.

Like CycleGAN it needs two sets of images and no pairs, but it maps single pixels. Inverted, the
darkest becomes the brightest.
"""

import numpy as np
import torch
from torch import Tensor


def match_histograms(
    images: Tensor, source: Tensor, reference: Tensor, *, invert: bool = False
) -> Tensor:
    """Images with the histogram of another domain.

    Args:
        images: (N, C, H, W) uint8, of the source domain.
        source: (M, C, H, W) uint8, training images of the source domain.
        reference: (K, C, H, W) uint8, training images of the other domain.
        invert: Map bright to dark.

    Returns:
        (N, C, H, W) uint8: the value at quantile p of the source becomes that at p of the
        reference, or at 1 - p.
    """
    matched = torch.empty_like(images)
    for channel in range(images.shape[1]):
        counts = np.bincount(source[:, channel].flatten().numpy(), minlength=256)
        quantiles = (np.cumsum(counts) - counts / 2) / counts.sum()  # ties share their middle
        values = np.quantile(
            reference[:, channel].flatten().numpy(), 1 - quantiles if invert else quantiles
        )
        table = torch.from_numpy(np.rint(values).astype(np.uint8))
        matched[:, channel] = table[images[:, channel].long()]
    return matched
