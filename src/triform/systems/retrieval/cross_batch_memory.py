"""Cross-batch memory (arXiv:1912.06798): embeddings of earlier batches as further negatives."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class CrossBatchMemory:
    """The newest embeddings and the objects that they show; part of a run's state."""

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
