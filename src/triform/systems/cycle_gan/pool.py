"""Earlier translations, so that a discriminator does not forget (arXiv:1703.10593, section 4)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class ImagePool:
    """Keeps so many pictures and mixes them among new ones (arXiv:1612.07828, section 2.3).

    Args:
        size: how many; 0 keeps none.
    """

    def __init__(self, size: int):
        self.size = size
        self.images: list[Tensor] = []

    def query(self, images: Tensor) -> Tensor:
        """As many pictures: while the pool fills, the new ones; then, for half of them, kept ones.

        Args:
            images: (B, C, H, W) new ones; each that is exchanged takes the place of the other.
        """
        if not self.size:
            return images
        answer = []
        for image in images.detach().float():
            if len(self.images) < self.size:
                self.images.append(image.clone())
            elif float(torch.rand(())) < 0.5:
                place = int(torch.randint(self.size, ()))
                kept, self.images[place] = self.images[place], image.clone()
                image = kept.to(image.device)
            answer.append(image)
        return torch.stack(answer)

    def state_dict(self) -> dict[str, Any]:
        """What is kept."""
        return {"images": torch.stack(self.images) if self.images else torch.zeros(0)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put it back; where the pool is smaller now, as many as fit."""
        self.images = list(state["images"].unbind(0))[: self.size]
