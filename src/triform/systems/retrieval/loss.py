"""Loss of the retrieval system: contrastive losses of pairs of modalities, and their weights."""

from __future__ import annotations

from typing import Any

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
    """Weighted sum of the contrastive losses of images, shapes and texts.

    Several processes compute it over all their objects; the images come gathered already.

    Args:
        images: (B, V, D) of length 1, of all processes.
        points: (B, D) of length 1.
        texts: (B, D) of length 1; None where no loss uses them.
        caption: Index of each text (B,); equal texts are no negatives of each other, -1 is no text.
        scale: 1 / temperature.
        balance: Load-balancing loss of the experts.
        training: Weights and variants.
        memory: Embeddings (M, D) of earlier images, and which are of another object than each of
            (B, M).

    Returns:
        Scalars: `loss`, and each part before its weight.
    """
    points = gather_with_gradient(points)
    parts: dict[str, Tensor] = {}
    weights = {"balance": training.balance_weight}
    if training.image_shape_weight:
        parts["image_shape"] = multi_positive_contrastive(
            points, images, scale, positives=training.positives
        )["loss"]
        weights["image_shape"] = training.image_shape_weight
    if training.image_image_weight:
        parts["image_image"] = within_views(
            images,
            scale,
            positives=training.image_positives,
            negatives=memory[0] if memory else None,
            is_other=memory[1] if memory else None,
        )
        weights["image_image"] = training.image_image_weight
    if texts is not None:
        texts = gather_with_gradient(texts)
        caption = gather_with_gradient(caption[:, None].to(texts))[:, 0]
        has_text = caption >= 0
        same_text = caption[:, None] == caption[None]
        if training.text_shape_weight:
            parts["text_shape"] = _text_loss(has_text, texts, points[:, None], scale, same_text)
            weights["text_shape"] = training.text_shape_weight
        if training.text_image_weight:
            parts["text_image"] = _text_loss(has_text, texts, images, scale, same_text)
            weights["text_image"] = training.text_image_weight
    if training.balance_weight:
        parts["balance"] = balance
    total = torch.stack([weights[name] * value for name, value in parts.items()]).sum()
    return {"loss": total, **parts}


def _text_loss(
    has_text: Tensor, texts: Tensor, others: Tensor, scale: Tensor, same_text: Tensor
) -> Tensor:
    """Loss of texts (B, D) and others (B, V, D) over the objects that have a text."""
    rows = has_text.nonzero()[:, 0]
    if len(rows) < 2:  # no negatives; still a part of the graph
        return 0 * (texts.sum() + others.sum())
    same_text = same_text[rows][:, rows]
    if others.shape[1] == 1:
        return info_nce(texts[rows], others[rows, 0], scale, ignore=same_text)
    return multi_positive_contrastive(texts[rows], others[rows], scale, ignore=same_text)["loss"]


class CrossBatchMemory:
    """Embeddings of earlier batches as further negatives (arXiv:1912.06798)."""

    def __init__(self, size: int, dim: int):
        self.size = size
        self.embeddings, self.object_ids = torch.empty(0, dim), torch.empty(0, dtype=torch.int64)

    def negatives(self, objects: Tensor) -> tuple[Tensor, Tensor]:
        """Stored embeddings (M, D), and which are of another object than each of (B,): (B, M)."""
        embeddings = self.embeddings.to(objects.device)
        return embeddings, self.object_ids.to(objects.device)[None] != objects[:, None]

    def add(self, views: Tensor, objects: Tensor) -> None:
        """Store embeddings (B, V, D) of objects (B,) in the place of the oldest."""
        newest = views.detach().float().flatten(0, 1)
        object_ids = objects.repeat_interleave(views.shape[1])
        self.embeddings = torch.cat([self.embeddings.to(newest), newest])[-self.size :]
        self.object_ids = torch.cat([self.object_ids.to(object_ids), object_ids])[-self.size :]

    def state_dict(self) -> dict[str, Any]:
        """Embeddings and ids, on the CPU."""
        return {
            "embeddings": self.embeddings.cpu().clone(),
            "object_ids": self.object_ids.cpu().clone(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state."""
        self.embeddings, self.object_ids = state["embeddings"], state["object_ids"]
