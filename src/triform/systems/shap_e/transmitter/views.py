"""Tokens of posed views with depth: each pixel as a coloured point in space, in patches."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from triform.systems.shap_e.config import POSITION_DEGREES, POSITION_WIDTH, TransmitterConfig
from triform.systems.shap_e.transmitter.encodings import encode


@dataclass(frozen=True)
class Views:
    """Posed views with depth, in a scene in [-1, 1]^3.

    Attributes:
        colors: (B, N, 3, S, S) sRGB in [-1, 1], black background.
        mask: (B, N, 1, S, S) bool, true where the object is opaque.
        depth: (B, N, 1, S, S) along the camera's z axis, cut off at the largest depth.
        origin: Of the cameras (B, N, 3).
        axes: x (right), y (down) and z (forward) of the cameras (B, N, 3, 3), in rows.
        fov: Angle of view (B, N), radians.
    """

    colors: Tensor
    mask: Tensor
    depth: Tensor
    origin: Tensor
    axes: Tensor
    fov: Tensor

    def to(self, device: torch.device) -> Views:
        """The views on a device."""
        return Views(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


def pixel_rays(views: Views) -> Tensor:
    """Unit directions of the pixels' rays (B, N, 3, S, S).

    The outermost pixels lie on the border of the image, as Shap-E has it.
    """
    size = views.colors.shape[-1]
    steps = torch.arange(size, device=views.fov.device, dtype=torch.float32) / (size - 1) * 2 - 1
    extent = torch.tan(views.fov.float() / 2)[..., None, None, None]
    x, y, z = (axis.float()[..., None, None] for axis in views.axes.unbind(2))
    rays = z + x * (steps * extent) + y * (steps[:, None] * extent)
    unit: Tensor = rays / rays.norm(dim=2, keepdim=True)
    return unit


def pixel_positions(views: Views) -> Tensor:
    """Positions of the surface in the pixels (B, N, 3, S, S)."""
    rays = pixel_rays(views)
    z = views.axes.float()[:, :, 2, :, None, None]
    distance = views.depth / (rays * z).sum(2, keepdim=True)
    return views.origin.float()[..., None, None] + distance * rays


class ViewEmbedding(nn.Conv2d):
    """Embedding of pixels by colour, camera and position; a learned vector where masked."""

    def __init__(self, outputs: int):
        super().__init__(3 * POSITION_WIDTH, outputs, kernel_size=3, padding=1)
        self.unk_token = nn.Parameter(torch.randn(3 * POSITION_WIDTH) * 0.01)

    def embed(self, views: Views) -> Tensor:
        """Features (B, N, C, S, S)."""
        position = pixel_positions(views)
        origin = views.origin.float()[..., None, None].expand_as(position)
        parts = [
            encode(values.movedim(2, -1), POSITION_DEGREES).movedim(-1, 2)
            for values in (views.colors, origin, position)
        ]
        features = torch.where(views.mask, torch.cat(parts, 2), self.unk_token.view(1, 1, -1, 1, 1))
        embedded: Tensor = self(features.flatten(0, 1)).unflatten(0, features.shape[:2])
        return embedded


class ViewTokens(nn.Module):
    """Patches of views as tokens."""

    def __init__(self, config: TransmitterConfig):
        super().__init__()
        half = config.encoder_width // 2
        self.mv_pcl_embed = ViewEmbedding(half)
        self.patch_emb = nn.Conv2d(half, config.encoder_width, config.view_patch, config.view_patch)

    def forward(self, views: Views) -> Tensor:
        """Tokens (B, N, P, W) of N views."""
        features = self.mv_pcl_embed.embed(views)
        patches = self.patch_emb(features.flatten(0, 1)).flatten(2).transpose(1, 2)
        tokens: Tensor = patches.unflatten(0, features.shape[:2])
        return tokens
