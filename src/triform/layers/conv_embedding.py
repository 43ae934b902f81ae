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
    """Blocks of a 3x3 convolution, a norm, ReLU and a 2x2 maximum; the last map is flattened.

    Args:
        channels: of the pictures.
        size: rows and columns of the pictures, any number of at least 2^num_blocks.
        hidden_channels: width of every block.
        num_blocks: how many.
        norm: "batch" (the papers') or "group", which depends on no other picture of the batch.

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
                _block(channels if number == 0 else hidden_channels, hidden_channels, norm)
                for number in range(num_blocks)
            )
        )
        self.out_features = hidden_channels * (size >> num_blocks) ** 2

    def forward(self, pictures: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        """Embed pictures in [0, 1]."""
        return torch.flatten(self.blocks(2 * pictures - 1), 1)


def _block(inputs: int, outputs: int, norm: Norm) -> nn.Sequential:
    layer = nn.BatchNorm2d(outputs) if norm == "batch" else nn.GroupNorm(GROUPS, outputs)
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            norm=layer,
            relu=nn.ReLU(),
            pool=nn.MaxPool2d(2),
        )
    )
