"""The captioner's loss: next words, and attention that looks everywhere once.

Words: cross-entropy of every word after the first, padding left out, a mean over words (nats).
Doubly stochastic attention (arXiv:1502.03044, section 4.2.1): the attention that a place gets over
all words of a caption should be 1.
Detection (arXiv:1411.4952, section 3.1): a picture shows somewhere what its captions say, and
nothing else.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

LEAST = 1e-6
"""What is all but surely nowhere costs this much at least, so that its logarithm exists."""


def caption_loss(
    logits: Tensor,
    captions: Tensor,
    attention: Tensor | None = None,
    doubly_stochastic: float = 0.0,
    *,
    padding: int = 0,
) -> dict[str, Tensor]:
    """All of the loss.

    Args:
        logits: (N, T - 1, V) for the words after the first.
        captions: (N, T) int64, from start to end, then padding.
        attention: (N, T - 1, L), each row a distribution over places.
        doubly_stochastic: weight of the attention's part.
        padding: number of the padding.

    Returns:
        `loss`; its part `words`; `perplexity` of the words.
    """
    following = captions[:, 1:]
    words = F.cross_entropy(logits.flatten(0, 1).float(), following.flatten(), ignore_index=padding)
    loss = words
    if attention is not None and doubly_stochastic:
        said = (following != padding)[..., None]
        total = (attention.float() * said).sum(1)
        loss = loss + doubly_stochastic * (1 - total).square().mean()
    return {"loss": loss, "words": words.detach(), "perplexity": words.detach().exp()}


def detection_loss(absence: Tensor, shown: Tensor) -> Tensor:
    """Cross-entropy of which words a picture shows, summed over words, per word shown (nats).

    Args:
        absence: (B, K) minus the log-probability that a word is nowhere; at least 0.
        shown: (B, K) bool.
    """
    missed = -torch.log(-torch.expm1(-absence.clamp(min=LEAST)))
    return torch.where(shown, missed, absence).sum() / shown.sum().clamp(min=1)
