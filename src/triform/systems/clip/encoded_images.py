"""Features of images by an encoder that is not trained, computed once and kept on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from triform.datasets.array_cache import cached_array
from triform.pretrained.fingerprint import state_fingerprint
from triform.tasks.contrastive.images import ResizedImages, to_tensor

BATCH_SIZE = 256


class EncodedImages:
    """Features of the images of a table by row.

    Args:
        images: The images.
        encode: (B, 3, S, S) RGB in [0, 1] to (B, F).
        width: F.
        state: Weights of the encoder; the cache depends on them, the table and the preprocessing.
    """

    def __init__(
        self,
        images: ResizedImages,
        encode: Callable[[Tensor], Tensor],
        width: int,
        state: Mapping[str, Tensor],
    ):
        self.images, self.encode, self.width = images, encode, width
        self.state = state
        self._features: np.ndarray | None = None

    @property
    def name(self) -> str:
        """Name of the cached features."""
        images = self.images
        source = images.table.images.image(0).shape if len(images.table) else ()
        preprocessing = f"{source} to {images.size}{' framed' * images.frame}"
        key = f"{state_fingerprint(self.state)} {images.table.digest} {preprocessing}"
        return hashlib.sha256(key.encode()).hexdigest()[:24] + "_features"

    def __call__(self, rows: Sequence[int] | np.ndarray) -> Tensor:
        """(B, F) float32."""
        if self._features is None:
            count = -(-len(self.images.table) // BATCH_SIZE)
            shape = (count, BATCH_SIZE, self.width)
            batches = cached_array(self.name, shape, np.float32, self._encode, "encoding images")
            self._features = batches.reshape(-1, self.width)
        return torch.from_numpy(self._features[np.asarray(rows, int)])

    @torch.no_grad()
    def _encode(self, batch: int) -> np.ndarray:
        """One batch of features, with zeros behind the last image."""
        start = batch * BATCH_SIZE
        rows = range(start, min(start + BATCH_SIZE, len(self.images.table)))
        features = np.zeros((BATCH_SIZE, self.width), np.float32)
        features[: len(rows)] = self.encode(to_tensor(self.images(rows))).cpu().numpy()
        return features
