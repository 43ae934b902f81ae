"""What the training shapes alone can do: the baseline of `evaluate`, and what novelty is told by.

The baseline answers a prompt with the training shape whose caption is nearest to it. Novelty is
1 - IoU with the nearest training shape, as it is or mirrored, at the size that the judge sees.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from triform.metrics.voxel import pairwise_iou
from triform.systems.voxel_gan.data import Objects, phrases
from triform.systems.voxel_gan.judge import judge_view

_CHUNK = 256


@dataclass(frozen=True)
class TrainingShapes:
    """The shapes that a model learned from, and what they are called.

    Attributes:
        views: Occupancy (N, 32, 32, 32) bool of each shape.
        captions: Captions of each shape.
    """

    views: Tensor
    captions: tuple[tuple[str, ...], ...]

    def nearest_caption(
        self, prompts: Sequence[str], embed: Callable[[list[str]], Tensor]
    ) -> np.ndarray:
        """Number of the shape whose caption is nearest to each of P prompts, by the cosine.

        Args:
            prompts: P texts.
            embed: N texts to vectors (N, c); of equal captions the first shape's counts.

        Raises:
            ValueError: No shape has a caption.
        """
        owners: dict[str, int] = {}
        for number, own in enumerate(self.captions):
            for caption in own:
                owners.setdefault(caption, number)
        if not owners:
            raise ValueError("no training shape has a caption")
        asked, known = (
            F.normalize(embed(list(texts)).float().cpu(), dim=1).numpy()
            for texts in (prompts, owners)
        )
        return np.asarray(list(owners.values()))[(asked @ known.T).argmax(1)]

    def distances(self, views: Tensor) -> Tensor:
        """1 - IoU (M,) of views (M, 32, 32, 32) with the nearest of the shapes."""
        nearest = torch.zeros(len(views))
        for start in range(0, len(self.views), _CHUNK):
            some = self.views[start : start + _CHUNK]
            for each in (some, some.flip(1)):  # axis 1 is x
                nearest = torch.maximum(nearest, pairwise_iou(views, each).max(1).values)
        return 1 - nearest

    def verbatim(self, prompts: Sequence[str]) -> tuple[int, int]:
        """How many prompts are captions, and how many are texts that training shows for them."""
        captions = {caption.lower() for own in self.captions for caption in own}
        shown = {text.lower() for own in self.captions for text in phrases(own)}
        wanted = [prompt.lower() for prompt in prompts]
        return sum(each in captions for each in wanted), sum(each in shown for each in wanted)


def training_shapes(objects: Objects) -> TrainingShapes:
    """The training part of a data set; shapes without a caption count for novelty alone."""
    rows = objects.rows("train")
    parts = [
        judge_view(objects.voxels(rows[start : start + _CHUNK]))[:, 0] > 0.5
        for start in range(0, len(rows), _CHUNK)
    ]
    return TrainingShapes(
        torch.cat(parts), tuple(objects.captions[owner] for owner in objects.owner[rows])
    )
