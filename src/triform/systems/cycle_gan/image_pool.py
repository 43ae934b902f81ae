"""Buffer of earlier translations for the discriminators (arXiv:1703.10593, section 4)."""

from typing import Any

import torch
from torch import Tensor


class ImagePool:
    """Stores images and mixes them among new ones (arXiv:1612.07828, section 2.3).

    Args:
        size: Number of stored images; 0 stores none.
    """

    def __init__(self, size: int):
        self.size = size
        self.images: list[Tensor] = []

    def query(self, images: Tensor) -> Tensor:
        """A batch of new images; once the pool is full, half of them are swapped for stored ones.

        Args:
            images: New images (B, C, H, W); each that is swapped is stored in place of the other.
        """
        if not self.size:
            return images
        batch = []
        for image in images.detach().float():
            if len(self.images) < self.size:
                self.images.append(image.clone())
            elif float(torch.rand(())) < 0.5:
                index = int(torch.randint(self.size, ()))
                stored, self.images[index] = self.images[index], image.clone()
                image = stored.to(image.device)
            batch.append(image)
        return torch.stack(batch)

    def state_dict(self) -> dict[str, Any]:
        """The stored images."""
        return {"images": torch.stack(self.images) if self.images else torch.zeros(0)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the images; as many as fit into a smaller pool."""
        self.images = list(state["images"].unbind(0))[: self.size]
