"""The classifier that is adapted to each episode, and learned inner learning rates.

Norms use one image alone (groups of channels): batch statistics would let the queries of an
episode influence each other.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from triform.layers.conv_embedding import ConvEmbedding
from triform.tasks.few_shot.config import ConvEmbeddingConfig

Parameters = dict[str, Tensor]
HEAD = "head."


class Classifier(nn.Module):
    """Convolutional embedding and a linear head with one output per class of an episode."""

    def __init__(self, model: ConvEmbeddingConfig, channels: int, size: int, n_way: int):
        super().__init__()
        self.embedding = ConvEmbedding(
            channels, size, model.hidden_channels, model.num_blocks, norm="group"
        )
        self.head = nn.Linear(self.embedding.out_features, n_way)
        # Labels within an episode are arbitrary: an untrained head prefers no class.
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] to logits (B, n_way)."""
        logits: Tensor = self.head(self.embedding(images))
        return logits


class InnerLearningRates(nn.Module):
    """A learned learning rate for each inner step and tensor, stored as logarithm.

    Antoniou et al., arXiv:1810.09502, section 4 ("MAML++").
    """

    def __init__(self, names: list[str], steps: int, lr: float):
        super().__init__()
        self.names = names
        self.log_rates = nn.Parameter(torch.full((steps, len(names)), lr).log())

    def rates(self) -> list[Parameters]:
        """For each step the rate of each tensor."""
        return [dict(zip(self.names, row.exp(), strict=True)) for row in self.log_rates]


def adapted_parameters(network: nn.Module, *, anil: bool) -> list[str]:
    """Names of the parameters that inner steps change: all, or those of the head (ANIL)."""
    names = [name for name, _ in network.named_parameters()]
    return [name for name in names if name.startswith(HEAD)] if anil else names
