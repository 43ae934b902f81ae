"""The loss of prototypical networks: cross-entropy of the queries (arXiv:1703.05175, eq. 2)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def prototype_loss(logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Mean over all queries of all tasks.

    Args:
        logits: (T, Q, N).
        labels: (T, Q) int64 in [0, N).

    Returns:
        `loss` in nats, and `accuracy` in [0, 1].
    """
    loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten())
    return {"loss": loss, "accuracy": (logits.argmax(-1) == labels).float().mean()}
