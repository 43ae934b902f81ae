"""Embeddings of earlier pictures, as more to be told from than a batch holds (arXiv:1912.06798)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Memory:
    """The newest embeddings and the objects they show; part of a run's state."""

    def __init__(self, size: int, dim: int):
        self.size = size
        self.embeddings, self.owners = torch.empty(0, dim), torch.empty(0, dtype=torch.int64)

    def negatives(self, objects: Tensor) -> tuple[Tensor, Tensor]:
        """What is kept (M, D), and which of it shows none of the objects (B,), for each: (B, M)."""
        embeddings = self.embeddings.to(objects.device)
        return embeddings, self.owners.to(objects.device)[None] != objects[:, None]

    def add(self, views: Tensor, objects: Tensor) -> None:
        """Keep the embeddings (B, V, D) of objects (B,); the oldest make room."""
        new = views.detach().float().flatten(0, 1)
        owners = objects.repeat_interleave(views.shape[1])
        self.embeddings = torch.cat([self.embeddings.to(new), new])[-self.size :]
        self.owners = torch.cat([self.owners.to(owners), owners])[-self.size :]

    def state_dict(self) -> dict[str, Any]:
        """Everything, on the CPU."""
        return {"embeddings": self.embeddings.cpu().clone(), "owners": self.owners.cpu().clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put a state back."""
        self.embeddings, self.owners = state["embeddings"], state["owners"]
