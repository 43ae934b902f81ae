"""Nearest training shapes: the baseline of `evaluate` by captions, and the novelty of shapes.

The baseline answers a prompt with the training shape of the nearest caption. Novelty is 1 - IoU
with the nearest training shape or its mirror image, at the classifier's resolution.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from triform.metrics.voxel import novelty
from triform.systems.voxel_gan.conditioning import caption_variants
from triform.systems.voxel_gan.data import VoxelDataset
from triform.tasks.shape_generation.voxel_classifier import classifier_input

CHUNK_SIZE = 256


@dataclass(frozen=True)
class TrainingShapes:
    """Voxels and captions of the training shapes.

    Attributes:
        voxels: Occupancy (N, 32, 32, 32) bool of each shape.
        captions: Captions of each shape.
    """

    voxels: Tensor
    captions: tuple[tuple[str, ...], ...]

    def nearest_caption(
        self, prompts: Sequence[str], embed: Callable[[list[str]], Tensor]
    ) -> np.ndarray:
        """Indices of the shapes whose caption is nearest to each of P prompts, by the cosine.

        Args:
            prompts: P texts.
            embed: N texts to embeddings (N, c); of equal captions the first shape's counts.

        Raises:
            ValueError: No shape has a caption.
        """
        shape_of_caption: dict[str, int] = {}
        for index, captions in enumerate(self.captions):
            for caption in captions:
                shape_of_caption.setdefault(caption, index)
        if not shape_of_caption:
            raise ValueError("no training shape has a caption")
        prompt_embeddings, caption_embeddings = (
            F.normalize(embed(list(texts)).float().cpu(), dim=1).numpy()
            for texts in (prompts, shape_of_caption)
        )
        nearest = (prompt_embeddings @ caption_embeddings.T).argmax(1)
        indices = np.array(list(shape_of_caption.values()))
        return np.asarray(indices[nearest])

    def distances(self, voxels: Tensor) -> Tensor:
        """1 - IoU (M,) of occupancy (M, 32, 32, 32) with the nearest training shape."""
        return novelty(voxels, self.voxels)

    def count_verbatim(self, prompts: Sequence[str]) -> tuple[int, int]:
        """Numbers of prompts that are captions, and that are training texts, word for word."""
        captions = {text.lower() for texts in self.captions for text in texts}
        variants = {text.lower() for texts in self.captions for text in caption_variants(texts)}
        lowercase = [prompt.lower() for prompt in prompts]
        return sum(text in captions for text in lowercase), sum(
            text in variants for text in lowercase
        )


def training_shapes(dataset: VoxelDataset) -> TrainingShapes:
    """The training split of a data set; shapes without a caption count for novelty only."""
    rows = dataset.rows("train")
    chunks = [
        classifier_input(dataset.voxels(rows[start : start + CHUNK_SIZE]))[:, 0] > 0.5
        for start in range(0, len(rows), CHUNK_SIZE)
    ]
    captions = tuple(dataset.captions[index] for index in dataset.shape_index[rows])
    return TrainingShapes(torch.cat(chunks), captions)
