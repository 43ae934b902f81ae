"""Colours of surfaces as a field that is defined everywhere.

A field that is known near surfaces alone is the product of colour and shape, which a linear code
of whole shapes cannot take apart. So the unknown is filled by means over larger and larger blocks
(pull-push, doi:10.1145/237170.237200, section 3.4.2): a shape of one colour has it everywhere.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def color_input(colors: np.ndarray) -> Tensor:
    """Colours of blocks as the input and the target of the autoencoder.

    Args:
        colors: (N, S, S, S, 3) uint8 sRGB, 0 where no surface is near.

    Returns:
        (N, 4, S, S, S) from -1 to 1: red, green and blue, filled where they are not known, and
        a mask of where they are. All 0 where a shape has no colours.
    """
    values = torch.from_numpy(colors).movedim(-1, 1).float()
    known = (values > 0).any(1, keepdim=True).float()
    return torch.cat([fill_unknown((values / 127.5 - 1) * known, known), known], dim=1)


def fill_unknown(values: Tensor, known: Tensor) -> Tensor:
    """Fill a field where it is not known.

    Args:
        values: (N, C, S, S, S), 0 where they are not known.
        known: (N, 1, S, S, S), 0 or 1.

    Returns:
        (N, C, S, S, S): the values where they are known, else interpolated means of the smallest
        blocks of 2^k samples that know any; 0 where nothing is known at all.
    """
    side = values.shape[-1]
    if side % 2:
        total, count = values.sum((2, 3, 4), keepdim=True), known.sum((2, 3, 4), keepdim=True)
        mean = total / count.clamp(min=1)
        return torch.where(known > 0, values, mean)
    total, count = (F.avg_pool3d(field, 2) * 8 for field in (values, known))
    coarse = fill_unknown(total / count.clamp(min=1), (count > 0).to(known))
    filled = F.interpolate(coarse, scale_factor=2, mode="trilinear")
    return torch.where(known > 0, values, filled)
