"""Samples episodes: small classification tasks with a few examples of each class.

An episode has `n_way` classes, labelled anew, with `n_shot` images of each to learn from
(support) and `n_query` others to be tested on (query). No image occurs twice.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from triform.base.errors import UsageError, UserError
from triform.datasets.images.load import load_images
from triform.datasets.images.table import ImageTable
from triform.tasks.few_shot.config import EpisodeDataConfig

Episode = dict[str, Tensor]

# Largest rotation (radians), shear and relative change of size of an augmented image.
MAX_ROTATION, MAX_SHEAR, MAX_SCALING = math.radians(14), 0.15, 0.15


class EpisodeSampler:
    """Samples episodes from some classes of a set of images.

    Calling it with indices and a generator makes a batch for the engine's loader: `support`
    (T, n_way * n_shot, C, H, W) float32 in [0, 1], `support_labels` (T, n_way * n_shot) int64 in
    [0, n_way), and `query`, `query_labels` alike, both in random order.

    Args:
        table: the images.
        classes: which of its classes to sample from.
        n_way: classes per episode.
        n_shot: support images per class.
        n_query: query images per class.
        augment: rotate, shear and scale each image a little.
        rotate: use classes rotated by 90, 180 and 270 degrees as further classes; for training.
        query_maker: maker of the query images; supports are then of the other makers. None
            samples both from all.

    Raises:
        UsageError: too few classes or images for such an episode.
    """

    def __init__(
        self,
        table: ImageTable,
        classes: Sequence[int] | np.ndarray,
        *,
        n_way: int,
        n_shot: int,
        n_query: int,
        augment: bool = False,
        rotate: bool = False,
        query_maker: int | None = None,
    ):
        self.table = table
        self.n_way, self.n_shot, self.n_query = n_way, n_shot, n_query
        self.augment, self.rotate, self.query_maker = augment, rotate, query_maker
        order = np.argsort(table.labels, kind="stable")
        rows = np.split(order, np.cumsum(np.bincount(table.labels, minlength=len(table.classes))))
        self.rows: list[tuple[np.ndarray, np.ndarray]] = []
        for index in classes:
            support = query = rows[int(index)]
            if query_maker is not None:
                is_query = table.makers[support] == query_maker
                support, query = support[~is_query], query[is_query]
                has_enough = len(support) >= n_shot and len(query) >= n_query
            else:
                has_enough = len(support) >= n_shot + n_query
            if has_enough:
                self.rows.append((support, query))
        self.num_classes = len(self.rows) * (4 if rotate else 1)
        if len(self.rows) < n_way:
            raise UsageError(
                f"n_way: of the {len(classes)} classes to draw from ({len(table.classes)} in "
                f"{table.name}) {len(self.rows)} have the images that "
                f"n_shot {n_shot} and n_query {n_query} ask for; n_way {n_way} is too many"
            )

    def __call__(self, indices: Sequence[int], generator: torch.Generator) -> Episode:
        """A batch of as many episodes as there are indices."""
        episodes = [self._sample(generator) for _ in indices]
        return {key: torch.stack([episode[key] for episode in episodes]) for key in episodes[0]}

    def _sample(self, generator: torch.Generator) -> Episode:
        def choice(population: int, count: int) -> np.ndarray:
            return torch.randperm(population, generator=generator)[:count].numpy()

        support, query, rotations = [], [], []
        for index in choice(self.num_classes, self.n_way):
            support_rows, query_rows = self.rows[index % len(self.rows)]
            rotations.append(int(index) // len(self.rows))
            if self.query_maker is None:
                rows = support_rows[choice(len(support_rows), self.n_shot + self.n_query)]
                support.append(rows[: self.n_shot])
                query.append(rows[self.n_shot :])
            else:
                support.append(support_rows[choice(len(support_rows), self.n_shot)])
                query.append(query_rows[choice(len(query_rows), self.n_query)])
        episode = {}
        for name, groups in (("support", support), ("query", query)):
            per_class = len(groups[0])
            labels = torch.arange(self.n_way).repeat_interleave(per_class)
            images = as_float(self.table.images[np.concatenate(groups)])
            images = _rotate_by_90(images, rotations, per_class)
            if self.augment:
                images = random_affine(images, generator)
            order = torch.randperm(len(labels), generator=generator)
            episode[name], episode[f"{name}_labels"] = images[order], labels[order]
        return episode


def as_float(images: np.ndarray) -> Tensor:
    """(N, H, W, C) uint8 to (N, C, H, W) float32 in [0, 1]."""
    tensor = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)
    return tensor.float().div_(255).contiguous()


def _rotate_by_90(images: Tensor, rotations: list[int], per_class: int) -> Tensor:
    """Rotate the images of each class by its multiple of 90 degrees."""
    if not any(rotations):
        return images
    parts = zip(torch.split(images, per_class), rotations, strict=True)
    return torch.cat([part.rot90(k, (2, 3)) for part, k in parts])


def random_affine(images: Tensor, generator: torch.Generator) -> Tensor:
    """Rotate, shear and scale each of (N, C, H, W) images at random.

    Pixels from outside the image take the colour of the nearest edge.
    """
    count = len(images)

    def uniform(limit: float) -> Tensor:
        return (2 * torch.rand(count, generator=generator) - 1) * limit

    angle, shear, scale = uniform(MAX_ROTATION), uniform(MAX_SHEAR), 1 + uniform(MAX_SCALING)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    zeros = torch.zeros(count)
    theta = torch.stack(
        [torch.stack([cos, shear - sin, zeros], 1), torch.stack([sin, cos, zeros], 1)], 1
    )
    coordinates = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, coordinates, padding_mode="border", align_corners=False)


def split_classes(table: ImageTable, split: str) -> np.ndarray:
    """Classes of a split; a data set without such splits is split 70 : 10 : 20 by class names.

    Raises:
        UserError: the data set has too few classes to be split.
    """
    if split in table.class_splits:
        return table.class_splits[split]
    if len(table.classes) < 6:
        raise UserError(
            f"{table.name}: {len(table.classes)} classes are too few to keep some for the test; "
            "six are the least"
        )
    order = np.argsort([zlib.crc32(name.encode()) for name in table.classes], kind="stable")
    test = max(2, round(0.2 * len(order)))
    val = max(2, round(0.1 * len(order)))
    parts = {"test": order[:test], "val": order[test : test + val], "train": order[test + val :]}
    return np.sort(parts[split])


def load_table(data: EpisodeDataConfig) -> ImageTable:
    """Load the images that settings name, in their size and channels."""
    return load_images(
        data.dataset, size=data.image_size, channels=data.channels, download_path=data.download_path
    )


def training_sampler(table: ImageTable, data: EpisodeDataConfig) -> EpisodeSampler:
    """Episodes of training classes, without the images of `unseen_maker`."""
    return EpisodeSampler(
        table.without_maker(data.unseen_maker),
        split_classes(table, "train"),
        n_way=data.train_way or data.n_way,
        n_shot=data.n_shot,
        n_query=data.train_query or data.n_query,
        augment=data.augment,
        rotate=data.rotate,
    )


def evaluation_sampler(
    table: ImageTable,
    split: str,
    *,
    n_way: int,
    n_shot: int,
    n_query: int,
    augment: bool,
    query_maker: str = "",
) -> EpisodeSampler:
    """Episodes of a split's classes, with queries of one maker where one is named."""
    return EpisodeSampler(
        table,
        split_classes(table, split),
        n_way=n_way,
        n_shot=n_shot,
        n_query=n_query,
        augment=augment,
        query_maker=table.maker(query_maker) if query_maker else None,
    )


def validation_sampler(table: ImageTable, data: EpisodeDataConfig, split: str) -> EpisodeSampler:
    """Episodes for evaluation during training, without the images of `unseen_maker`."""
    return evaluation_sampler(
        table.without_maker(data.unseen_maker),
        split,
        n_way=data.n_way,
        n_shot=data.n_shot,
        n_query=min(data.n_query, 5),
        augment=data.augment,
    )
