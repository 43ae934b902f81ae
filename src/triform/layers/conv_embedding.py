"""The four-block convolutional embedding of few-shot learning ("Conv-4").

Vinyals et al., arXiv:1606.04080, section 4.1; Snell et al., arXiv:1703.05175, section 3.1.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

Norm = Literal["batch", "group"]
GROUPS = 8


class ConvEmbedding(nn.Module):
    """Blocks of a 3x3 convolution, a norm, ReLU and 2x2 max-pooling; the output is flattened.

    Args:
        channels: channels of the images.
        size: rows and columns of the images, at least 2^num_blocks.
        hidden_channels: width of every block.
        num_blocks: number of blocks.
        norm: "batch" (the papers') or "group", which uses each image alone.

    Attributes:
        out_features: length of an embedding.
    """

    def __init__(
        self,
        channels: int,
        size: int,
        hidden_channels: int = 64,
        num_blocks: int = 4,
        norm: Norm = "batch",
    ):
        super().__init__()
        if size < 2**num_blocks:
            raise ValueError(f"size {size} is less than 2^{num_blocks}: too many blocks")
        self.blocks = nn.Sequential(
            *(
                _block(channels if index == 0 else hidden_channels, hidden_channels, norm)
                for index in range(num_blocks)
            )
        )
        self.out_features = hidden_channels * (size >> num_blocks) ** 2

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        """Embeddings of images in [0, 1]."""
        return torch.flatten(self.blocks(2 * images - 1), 1)


def _block(in_channels: int, out_channels: int, norm: Norm) -> nn.Sequential:
    is_batch = norm == "batch"
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
            norm=nn.BatchNorm2d(out_channels) if is_batch else nn.GroupNorm(GROUPS, out_channels),
            relu=nn.ReLU(),
            pool=nn.MaxPool2d(2),
        )
    )
