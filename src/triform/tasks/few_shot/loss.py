"""Loss of few-shot learners on the queries of an episode.

Cross-entropy: arXiv:1703.05175, equation 2; arXiv:1703.03400, section 2.2.
"""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F


def query_loss(logits: Float[Tensor, "t q n"], labels: Int[Tensor, "t q"]) -> dict[str, Tensor]:
    """Mean over all queries of all episodes.

    Args:
        logits: (T, Q, N).
        labels: (T, Q) int64 in [0, N).

    Returns:
        `loss` in nats, and `accuracy` in [0, 1].
    """
    loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten())
    return {"loss": loss, "accuracy": (logits.argmax(-1) == labels).float().mean()}
