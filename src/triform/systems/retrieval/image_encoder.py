"""The small picture encoder that is trained here, from scratch."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from triform.systems.retrieval.config import ModelConfig


class SmallImageEncoder(nn.Module):
    """Pictures (N, 3, S, S) in [0, 1] to features (N, dim)."""

    def __init__(self, width: int):
        super().__init__()
        self.dim = 4 * width
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, 4, 4),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, 2, 1),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.Conv2d(2 * width, 4 * width, 3, 2, 1),
            nn.BatchNorm2d(4 * width),
            nn.ReLU(),
        )

    def forward(self, images: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(self.layers((images - 0.5) * 3), 1).flatten(1)


def build_image_encoder(model: ModelConfig) -> SmallImageEncoder:
    """The encoder of these settings."""
    return SmallImageEncoder(model.image_width)
