"""The baseline of translations: every channel's levels brought to those of the other kind.

Like a histogram matching, it needs two heaps of pictures and no pairs, and sees one pixel at a
time. Falling, the darkest becomes the brightest.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def match_levels(images: Tensor, of: Tensor, to: Tensor, *, falling: bool = False) -> Tensor:
    """Pictures with the levels of another kind.

    Args:
        images: (N, C, H, W) uint8, of the first kind.
        of: (M, C, H, W) uint8, known pictures of the first kind.
        to: (K, C, H, W) uint8, known pictures of the other kind.
        falling: bright becomes dark.

    Returns:
        (N, C, H, W) uint8: the level at the share p of the first kind's pixels becomes that at p
        of the other's, or at 1 - p.
    """
    changed = torch.empty_like(images)
    for channel in range(images.shape[1]):
        counts = np.bincount(of[:, channel].flatten().numpy(), minlength=256)
        middle = (np.cumsum(counts) - counts / 2) / counts.sum()  # ties share their middle
        theirs = np.quantile(to[:, channel].flatten().numpy(), 1 - middle if falling else middle)
        table = torch.from_numpy(np.rint(theirs).astype(np.uint8))
        changed[:, channel] = table[images[:, channel].long()]
    return changed
