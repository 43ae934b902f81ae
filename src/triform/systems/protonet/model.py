"""Prototypical networks: an embedding, class means in it, distances to them.

Snell et al., arXiv:1703.05175, section 2.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from triform.layers.conv_embedding import ConvEmbedding
from triform.systems.protonet.config import ModelConfig

# A cosine lies in [-1, 1], too narrow for a softmax; the scale starts here and is learned.
INITIAL_COSINE_SCALE = 10.0


class ProtoNet(nn.Module):
    """Logits of queries from the support images of their episode.

    Args:
        model: settings.
        channels: channels of the images.
        size: rows and columns of the images.
    """

    def __init__(self, model: ModelConfig, channels: int, size: int):
        super().__init__()
        self.metric = model.metric
        self.embedding = ConvEmbedding(
            channels, size, model.hidden_channels, model.num_blocks, model.norm
        )
        if model.metric == "cosine":
            self.log_scale = nn.Parameter(torch.tensor(math.log(INITIAL_COSINE_SCALE)))

    def forward(self, support: Tensor, labels: Tensor, query: Tensor, n_way: int) -> Tensor:
        """Logits (T, Q, n_way) of T episodes.

        All images of all episodes are embedded in one call. With batch norm in training mode its
        statistics are those of all of them.

        Args:
            support: (T, S, C, H, W) support images, in any order.
            labels: (T, S) their classes, each from 0 to n_way - 1 at least once.
            query: (T, Q, C, H, W) images to classify.
            n_way: classes.
        """
        episodes, num_support = support.shape[:2]
        images = torch.cat([support, query], dim=1)
        embeddings = self.embedding(images.flatten(0, 1)).view(episodes, images.shape[1], -1)
        embeddings = embeddings.float()  # squared distances in half precision lose small ones
        supports, queries = embeddings[:, :num_support], embeddings[:, num_support:]
        if self.metric == "cosine":
            supports, queries = F.normalize(supports, dim=-1), F.normalize(queries, dim=-1)
        means = prototypes(supports, labels, n_way)
        if self.metric == "cosine":
            logits: Tensor = self.log_scale.exp() * queries @ F.normalize(means, dim=-1).mT
            return logits
        return -squared_distances(queries, means)

    def transductive(self, support: Tensor, labels: Tensor, query: Tensor, n_way: int) -> Tensor:
        """Logits as of `forward`, with norm statistics over all images of each episode."""
        buffers = {name: buffer.clone() for name, buffer in self.named_buffers()}
        self.train()
        logits = [
            self(*(tensor[None] for tensor in episode), n_way)
            for episode in zip(support, labels, query, strict=True)
        ]
        self.eval()
        for name, buffer in self.named_buffers():
            buffer.copy_(buffers[name])
        return torch.cat(logits)


def prototypes(supports: Tensor, labels: Tensor, n_way: int) -> Tensor:
    """Means (T, n_way, D) of the embeddings (T, S, D) of each class, by their labels (T, S)."""
    one_hot = F.one_hot(labels, n_way).to(supports.dtype)
    return one_hot.mT @ supports / one_hot.sum(1)[..., None]


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Squared Euclidean distances (T, Q, N) of points (T, Q, D) from points (T, N, D)."""
    return a.square().sum(-1)[..., None] - 2 * a @ b.mT + b.square().sum(-1)[:, None]
