"""How well a classifier does on real pictures that has only seen made ones.

Classification accuracy score: Ravuri and Vinyals, arXiv:1905.10887, section 3.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from triform.base.seeding import generator
from triform.pretrained.picture_features import FeatureNet, as_seen

BATCH, RATE = 64, 0.01


def classification_score(
    made: Tensor, made_labels: Tensor, real: Tensor, real_labels: Tensor, *, epochs: int = 8
) -> float:
    """Share of real pictures in [0, 1] that a small network trained on made ones knows.

    Args:
        made: (N, C, H, W) uint8.
        made_labels: (N,) int64, the class that each was asked for.
        real: (M, C, H, W) uint8.
        real_labels: (M,) int64.
        epochs: passes over the made pictures.
    """
    count = int(max(made_labels.max(), real_labels.max())) + 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = FeatureNet(count)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.01)
    steps = epochs * -(-len(made) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    random = generator("classification score")
    for _ in range(epochs):
        for rows in torch.randperm(len(made), generator=random).split(BATCH):
            loss = F.cross_entropy(network(as_seen(made[rows])), made_labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    network.eval()
    with torch.no_grad():
        said = torch.cat([network(as_seen(part)).argmax(1) for part in real.split(500)])
    return float((said == real_labels).float().mean())
