"""The loss of MAML: what queries cost after the supports were learned (arXiv:1703.03400, 2.2)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def query_loss(logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Mean over all queries of all tasks.

    Args:
        logits: (T, Q, N) of the adapted networks.
        labels: (T, Q) int64 in [0, N).

    Returns:
        `loss` in nats, and `accuracy` in [0, 1].
    """
    loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten())
    return {"loss": loss, "accuracy": (logits.argmax(-1) == labels).float().mean()}
