"""The whole loss of the retrieval system: which sides meet, and what each meeting weighs."""

from __future__ import annotations

import torch
from torch import Tensor

from triform.losses.contrastive import (
    gather_with_gradient,
    info_nce,
    multi_positive_contrastive,
    within_views,
)
from triform.systems.retrieval.config import RetrievalTrainingConfig


def retrieval_loss(
    images: Tensor,
    points: Tensor,
    texts: Tensor | None,
    caption: Tensor,
    scale: Tensor,
    balance: Tensor,
    training: RetrievalTrainingConfig,
    memory: tuple[Tensor, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Weighted sum of the contrastive losses of pictures, shapes and texts.

    Several processes compute it over all their objects; the pictures come gathered already.

    Args:
        images: (B, V, D) of length 1, of all processes.
        points: (B, D) of length 1.
        texts: (B, D) of length 1; None where no loss looks at them.
        caption: Number of each text (B,); equal texts are never told apart, -1 is no text.
        scale: 1 / temperature.
        balance: How unevenly the experts were used.
        training: Weights and variants.
        memory: Embeddings (M, D) of earlier pictures, and which are of another object (B, M).

    Returns:
        Scalars: `loss`, and each part before its weight.
    """
    points = gather_with_gradient(points)
    parts: dict[str, Tensor] = {}
    weights = {"balance": training.balance_weight}
    if training.picture_shape_weight:
        parts["picture_shape"] = multi_positive_contrastive(
            points, images, scale, positives=training.positives
        )["loss"]
        weights["picture_shape"] = training.picture_shape_weight
    if training.picture_picture_weight:
        parts["picture_picture"] = within_views(
            images,
            scale,
            positives=training.picture_positives,
            negatives=memory[0] if memory else None,
            is_other=memory[1] if memory else None,
        )
        weights["picture_picture"] = training.picture_picture_weight
    if texts is not None:
        texts = gather_with_gradient(texts)
        caption = gather_with_gradient(caption[:, None].to(texts))[:, 0]
        has_text = caption >= 0
        alike = caption[:, None] == caption[None]
        if training.text_shape_weight:
            parts["text_shape"] = _of_those(has_text, texts, points[:, None], scale, alike)
            weights["text_shape"] = training.text_shape_weight
        if training.text_picture_weight:
            parts["text_picture"] = _of_those(has_text, texts, images, scale, alike)
            weights["text_picture"] = training.text_picture_weight
    if training.balance_weight:
        parts["balance"] = balance
    total = torch.stack([weights[name] * value for name, value in parts.items()]).sum()
    return {"loss": total, **parts}


def _of_those(
    chosen: Tensor, texts: Tensor, others: Tensor, scale: Tensor, alike: Tensor
) -> Tensor:
    """The loss of texts (B, D) and others (B, V, D) over the objects that have a text."""
    rows = chosen.nonzero()[:, 0]
    if len(rows) < 2:  # nothing to tell apart; still a part of the graph
        return 0 * (texts.sum() + others.sum())
    alike = alike[rows][:, rows]
    if others.shape[1] == 1:
        return info_nce(texts[rows], others[rows, 0], scale, alike=alike)
    return multi_positive_contrastive(texts[rows], others[rows], scale, alike=alike)["loss"]
