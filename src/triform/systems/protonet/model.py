"""Prototypical networks: an embedding, the means of classes in it, distances to them.

Snell et al., arXiv:1703.05175, section 2.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from triform.layers.conv_embedding import ConvEmbedding
from triform.systems.protonet.config import ModelConfig

# A cosine lies in [-1, 1], too narrow for a softmax; the scale starts here and is learned.
FIRST_COSINE_SCALE = 10.0


class ProtoNet(nn.Module):
    """Logits of queries from the examples beside them.

    Args:
        model: the settings.
        channels: of the pictures.
        size: rows and columns of the pictures.
    """

    def __init__(self, model: ModelConfig, channels: int, size: int):
        super().__init__()
        self.metric: Literal["euclidean", "cosine"] = model.metric
        self.embedding = ConvEmbedding(
            channels, size, model.hidden_channels, model.num_blocks, model.norm
        )
        if model.metric == "cosine":
            self.log_scale = nn.Parameter(torch.tensor(math.log(FIRST_COSINE_SCALE)))

    def forward(self, support: Tensor, labels: Tensor, query: Tensor, n_way: int) -> Tensor:
        """Logits (T, Q, n_way) of T tasks.

        In training all pictures of all tasks are embedded at once; in evaluation mode (with norms
        that look at one picture alone, or at what training has seen) that changes nothing.

        Args:
            support: (T, S, C, H, W) examples, in any order.
            labels: (T, S) their classes, each from 0 to n_way - 1 at least once.
            query: (T, Q, C, H, W) pictures to classify.
            n_way: classes.
        """
        tasks, shots = support.shape[:2]
        pictures = torch.cat([support, query], dim=1)
        embedded = self.embedding(pictures.flatten(0, 1)).view(tasks, pictures.shape[1], -1)
        embedded = embedded.float()  # squared distances of half precision lose what is small
        examples, queries = embedded[:, :shots], embedded[:, shots:]
        if self.metric == "cosine":
            examples, queries = F.normalize(examples, dim=-1), F.normalize(queries, dim=-1)
        means = prototypes(examples, labels, n_way)
        if self.metric == "cosine":
            return self.log_scale.exp() * queries @ F.normalize(means, dim=-1).mT
        return -squared_distances(queries, means)


def prototypes(examples: Tensor, labels: Tensor, n_way: int) -> Tensor:
    """Means (T, n_way, D) of the examples (T, S, D) of each class, by their labels (T, S)."""
    member = F.one_hot(labels, n_way).to(examples.dtype)
    return member.mT @ examples / member.sum(1)[..., None]


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Squared Euclidean distances (T, Q, N) of points (T, Q, D) from points (T, N, D)."""
    return a.square().sum(-1)[..., None] - 2 * a @ b.mT + b.square().sum(-1)[:, None]
