"""The captioner's losses: next tokens, doubly stochastic attention, word detection.

Tokens: cross-entropy of every token after the first without padding, averaged over tokens (nats).
Doubly stochastic attention (arXiv:1502.03044, section 4.2.1): the attention that a position gets
over all tokens of a caption should sum to 1.
Detection (arXiv:1411.4952, section 3.1): the words of an image's captions are detected in it, and
no others.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

MIN_ABSENCE = 1e-6
"""Least negative log-probability of absence, so that the logarithm of its complement is finite."""


def caption_loss(
    logits: Tensor,
    captions: Tensor,
    attention: Tensor | None = None,
    doubly_stochastic: float = 0.0,
    *,
    padding_id: int = 0,
) -> dict[str, Tensor]:
    """The loss of the decoder.

    Args:
        logits: (N, T - 1, V) of the tokens after the first.
        captions: (N, T) int64 token ids, from start to end, then padding.
        attention: (N, T - 1, L), each row a distribution over positions.
        doubly_stochastic: Weight of the attention's part.
        padding_id: Token id of the padding.

    Returns:
        `loss`; its part `words`; `perplexity` of the words.
    """
    targets = captions[:, 1:]
    words = F.cross_entropy(
        logits.flatten(0, 1).float(), targets.flatten(), ignore_index=padding_id
    )
    loss = words
    if attention is not None and doubly_stochastic:
        mask = (targets != padding_id)[..., None]
        total = (attention.float() * mask).sum(1)
        loss = loss + doubly_stochastic * (1 - total).square().mean()
    return {"loss": loss, "words": words.detach(), "perplexity": words.detach().exp()}


def detection_loss(absence: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of word detection, summed over words, per word that is present (nats).

    Args:
        absence: (B, K) negative log-probability that a word is absent; at least 0.
        targets: (B, K) bool, whether a caption of the image has the word.
    """
    presence = -torch.log(-torch.expm1(-absence.clamp(min=MIN_ABSENCE)))
    return torch.where(targets, presence, absence).sum() / targets.sum().clamp(min=1)
