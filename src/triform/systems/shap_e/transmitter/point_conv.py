"""Tokens of neighbourhoods of points (the set abstraction of PointNet++, arXiv:1706.02413)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from triform.systems.shap_e.config import TransmitterConfig


def farthest_points(points: Tensor, count: int) -> Tensor:
    """Indices (B, count) of points (B, N, 3), each as far as possible from those before it.

    The first is point b of the b-th shape, as in Shap-E's evaluation mode with one shape; here it
    is point 0 of each, so that a shape's latent does not depend on its batch.
    """
    distance = torch.full(points.shape[:2], 1e10, device=points.device)
    farthest = torch.zeros(len(points), dtype=torch.long, device=points.device)
    rows = torch.arange(len(points), device=points.device)
    selected = []
    for _ in range(count):
        selected.append(farthest)
        center = points[rows, farthest].unsqueeze(1)
        distance = torch.minimum(distance, (points - center).square().sum(-1))
        farthest = distance.max(-1).indices
    return torch.stack(selected, 1)


def take(values: Tensor, indices: Tensor) -> Tensor:
    """Rows of (B, N, C) at indices (B, ...): (B, ..., C)."""
    rows = torch.arange(len(values), device=values.device).view(-1, *[1] * (indices.ndim - 1))
    return values[rows, indices]


def neighbours(points: Tensor, centers: Tensor, radius: float, count: int) -> Tensor:
    """Indices (B, S, count) of the first points (B, N, 3) within a radius of centers (B, S, 3).

    Where there are fewer, the first one fills the rest.
    """
    total = points.shape[1]
    squared = (
        -2 * centers @ points.transpose(1, 2)
        + centers.square().sum(-1, keepdim=True)
        + points.square().sum(-1)[:, None]
    )
    order = torch.arange(total, device=points.device).expand_as(squared).clone()
    order[squared > radius**2] = total
    order = order.sort(-1).values[..., :count]
    return torch.where(order == total, order[..., :1], order)


class PointConv(nn.Module):
    """Embeds neighbourhoods of selected points."""

    def __init__(self, config: TransmitterConfig):
        super().__init__()
        self.config = config
        widths = [config.encoder_width + 3, *(config.point_conv_hidden or (config.encoder_width,))]
        patch, stride = config.point_conv_patch, config.point_conv_stride
        self.mlp_convs = nn.ModuleList(
            nn.Conv2d(a, b, (patch, 1), (stride, 1), (patch // 2, 0)) for a, b in pairwise(widths)
        )

    def forward(
        self, xyz: Tensor, features: Tensor, generators: Sequence[torch.Generator]
    ) -> Tensor:
        """Tokens (B, T, W).

        Args:
            xyz: Points (B, N, 3).
            features: Their features (B, N, W).
            generators: Random numbers of each shape, for kernels that see several points.
        """
        config = self.config
        if config.fps_method == "fps":
            selected = farthest_points(xyz, config.data_tokens)
        else:
            selected = torch.arange(config.data_tokens, device=xyz.device).expand(len(xyz), -1)
        centers = take(xyz, selected)
        indices = neighbours(xyz, centers, config.point_conv_radius, config.point_conv_samples)
        grouped = torch.cat([take(xyz, indices) - centers[:, :, None], take(features, indices)], -1)
        x = grouped.permute(0, 3, 2, 1)  # (B, 3 + W, samples, T)
        for conv in self.mlp_convs:
            if config.point_conv_patch > 1:
                x = x.gather(2, _orders(x, generators).expand_as(x))
            x = F.silu(conv(x))
        return x.mean(2).transpose(1, 2)


def _orders(x: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """Random orders of the points of neighbourhoods, for each channel: (B, C, samples, 1)."""
    shape = (1, x.shape[1], x.shape[2], 1)
    draws = [torch.rand(shape, generator=generator) for generator in generators]
    return torch.cat(draws).to(x.device).sort(2).indices
