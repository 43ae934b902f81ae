"""Losses of the autoencoder and of the flows."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from triform.systems.shape_flow.config import LossConfig

SIGN_SCALE = 3.0
"""Logit of the sign at a distance of one voxel."""
UNKNOWN_COLOR_WEIGHT = 0.1
"""Few blocks are near a surface: so they count about as much as all others."""


def autoencoder_loss(
    predicted: Tensor,
    target: Tensor,
    predicted_colors: Tensor,
    target_colors: Tensor,
    mean: Tensor,
    logvar: Tensor,
    weights: LossConfig,
) -> dict[str, Tensor]:
    """All terms and their weighted sum.

    Args:
        predicted: distances (B, 1, R, R, R) in voxels.
        target: true distances.
        predicted_colors: (B, 3, R/2, R/2, R/2) from -1 to 1.
        target_colors: (B, 4, R/2, R/2, R/2) with the mask of known colours in channel 3.
        mean: posterior means.
        logvar: posterior log variances.
        weights: settings.

    Returns:
        `loss`, `distance`, `sign`, `dice`, `gradient`, `color` and `kl`.
    """
    predicted, target = predicted.float(), target.float()
    near = torch.exp(-target.abs() / weights.surface_width)
    terms = {
        "distance": ((1 + weights.surface_weight * near) * (predicted - target).abs()).mean(),
        "sign": F.binary_cross_entropy_with_logits(
            -SIGN_SCALE * predicted, (target < 0).to(predicted)
        ),
        "dice": dice_loss(torch.sigmoid(-SIGN_SCALE * predicted), (target < 0).to(predicted)),
        "gradient": gradient_loss(predicted, target, near),
        "color": color_loss(predicted_colors.float(), target_colors.float()),
        "kl": (mean.float().square() + logvar.float().exp() - 1 - logvar.float()).mean() / 2,
    }
    total = (
        terms["distance"]
        + weights.sign_weight * terms["sign"]
        + weights.dice_weight * terms["dice"]
        + weights.gradient_weight * terms["gradient"]
        + weights.color_weight * terms["color"]
        + weights.kl_weight * terms["kl"]
    )
    return {"loss": total, **terms}


def dice_loss(inside: Tensor, target: Tensor) -> Tensor:
    """1 - Dice of probabilities and true occupancy (B, 1, R, R, R), mean over shapes."""
    intersection = (inside * target).flatten(1).sum(1)
    total = inside.flatten(1).sum(1) + target.flatten(1).sum(1)
    return (1 - (2 * intersection + 1) / (total + 1)).mean()


def gradient_loss(predicted: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean absolute error of differences between neighbouring samples."""
    error = predicted - target
    total = error.new_zeros(())
    for axis in (2, 3, 4):
        count = error.shape[axis] - 1
        difference = error.narrow(axis, 1, count) - error.narrow(axis, 0, count)
        total = total + (difference.abs() * weight.narrow(axis, 0, count)).mean()
    return total / 3


def color_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error, with UNKNOWN_COLOR_WEIGHT where the colour is filled in.

    Args:
        predicted: (B, 3, S, S, S).
        target: (B, 4, S, S, S) with the mask of known colours in channel 3; a shape without any
            does not count.
    """
    mask = target[:, 3:]
    has_colors = mask.amax((1, 2, 3, 4), keepdim=True)
    weight = has_colors * (mask + UNKNOWN_COLOR_WEIGHT * (1 - mask))
    error = (predicted - target[:, :3]).abs().mean(1, keepdim=True)
    return (error * weight).sum() / weight.sum().clamp(min=1)
