"""Episodes: small tasks of telling a few classes apart from a few examples each.

An episode draws `n_way` classes, gives each a new number, and draws `n_shot` pictures of every
class to learn from (support) and `n_query` others to be tested on (query). No picture comes twice,
and where several makers drew the classes nobody stands on both sides of a class.
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
from triform.datasets.episode_settings import EpisodeDataConfig, EvaluateEpisodesConfig
from triform.datasets.pictures.load import load_pictures
from triform.datasets.pictures.table import PictureTable

Episode = dict[str, Tensor]

# Largest turn (radians), shear and change of size of a picture that is varied.
TURN, SHEAR, SCALE = math.radians(14), 0.15, 0.15


class EpisodeSource:
    """Draws episodes from some classes of a set of pictures.

    Calling it with episode numbers and a generator makes a batch, as the engine's loader wants it:
    `support` (T, n_way * n_shot, C, H, W) float32 in [0, 1], `support_labels` (T, n_way * n_shot)
    int64 in [0, n_way), and `query`, `query_labels` alike. Supports are sorted by nothing.

    Args:
        table: the pictures.
        classes: which of its classes to draw from.
        n_way: classes in an episode.
        n_shot: pictures of each to learn from.
        n_query: pictures of each to be tested on.
        vary: turn, shear and scale every picture a little.
        rotate: count a class turned by a quarter, a half and three quarters as classes of their
            own; for training only.
        query_maker: who drew the pictures to be tested on; the others drew those to learn from.
            None draws both from all.

    Raises:
        UsageError: too few classes or pictures for such an episode.
    """

    def __init__(
        self,
        table: PictureTable,
        classes: Sequence[int] | np.ndarray,
        *,
        n_way: int,
        n_shot: int,
        n_query: int,
        vary: bool = False,
        rotate: bool = False,
        query_maker: int | None = None,
    ):
        self.table = table
        self.n_way, self.n_shot, self.n_query = n_way, n_shot, n_query
        self.vary, self.rotate, self.query_maker = vary, rotate, query_maker
        order = np.argsort(table.labels, kind="stable")
        rows = np.split(order, np.cumsum(np.bincount(table.labels, minlength=len(table.classes))))
        self.rows: list[tuple[np.ndarray, np.ndarray]] = []
        for number in classes:
            support = query = rows[int(number)]
            if query_maker is not None:
                is_query = table.makers[support] == query_maker
                support, query = support[~is_query], query[is_query]
                enough = len(support) >= n_shot and len(query) >= n_query
            else:
                enough = len(support) >= n_shot + n_query
            if enough:
                self.rows.append((support, query))
        self.num_classes = len(self.rows) * (4 if rotate else 1)
        if len(self.rows) < n_way:
            raise UsageError(
                f"n_way: of the {len(classes)} classes to draw from ({len(table.classes)} in "
                f"{table.name}) {len(self.rows)} have the pictures that "
                f"n_shot {n_shot} and n_query {n_query} ask for; n_way {n_way} is too many"
            )

    def __call__(self, indices: Sequence[int], generator: torch.Generator) -> Episode:
        """A batch of episodes; only their number counts."""
        drawn = [self._draw(generator) for _ in indices]
        return {key: torch.stack([episode[key] for episode in drawn]) for key in drawn[0]}

    def _draw(self, generator: torch.Generator) -> Episode:
        def pick(count: int, of: int) -> np.ndarray:
            return torch.randperm(of, generator=generator)[:count].numpy()

        support, query, turns = [], [], []
        for chosen in pick(self.n_way, self.num_classes):
            own, tested = self.rows[chosen % len(self.rows)]
            turns.append(int(chosen) // len(self.rows))
            if self.query_maker is None:
                mixed = own[pick(self.n_shot + self.n_query, len(own))]
                support.append(mixed[: self.n_shot])
                query.append(mixed[self.n_shot :])
            else:
                support.append(own[pick(self.n_shot, len(own))])
                query.append(tested[pick(self.n_query, len(tested))])
        episode = {}
        for name, groups in (("support", support), ("query", query)):
            each = len(groups[0])
            labels = torch.arange(self.n_way).repeat_interleave(each)
            pictures = as_float(self.table.images[np.concatenate(groups)])
            pictures = _quarter_turns(pictures, turns, each)
            if self.vary:
                pictures = vary(pictures, generator)
            order = torch.randperm(len(labels), generator=generator)
            episode[name], episode[f"{name}_labels"] = pictures[order], labels[order]
        return episode


def as_float(images: np.ndarray) -> Tensor:
    """(N, H, W, C) uint8 to (N, C, H, W) float32 in [0, 1]."""
    pictures = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)
    return pictures.float().div_(255).contiguous()


def _quarter_turns(pictures: Tensor, turns: list[int], each: int) -> Tensor:
    if not any(turns):
        return pictures
    parts = pictures.split(each)
    return torch.cat([part.rot90(k, (2, 3)) for part, k in zip(parts, turns, strict=True)])


def vary(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Turns, shears and scales (N, C, H, W) pictures, each in its own way.

    What comes in from outside takes the colour of the nearest edge.
    """
    count = len(pictures)

    def draw(width: float) -> Tensor:
        return (2 * torch.rand(count, generator=generator) - 1) * width

    angle, shear, scale = draw(TURN), draw(SHEAR), 1 + draw(SCALE)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    none = torch.zeros(count)
    theta = torch.stack(
        [torch.stack([cos, shear - sin, none], 1), torch.stack([sin, cos, none], 1)], 1
    )
    grid = F.affine_grid(theta, list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)


def split_classes(table: PictureTable, split: str) -> np.ndarray:
    """Classes of a split; a set without such splits is split 70 : 10 : 20 by its names.

    Raises:
        UserError: the set has too few classes to be split.
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


def load_table(data: EpisodeDataConfig) -> PictureTable:
    """The pictures that settings name, in their size and channels."""
    return load_pictures(
        data.dataset, size=data.image_size, channels=data.channels, download_path=data.download_path
    )


def training_source(table: PictureTable, data: EpisodeDataConfig) -> EpisodeSource:
    """Tasks to learn from: training classes, and never the drawings of `unseen_maker`."""
    return EpisodeSource(
        table.without_maker(data.unseen_maker),
        split_classes(table, "train"),
        n_way=data.train_way or data.n_way,
        n_shot=data.n_shot,
        n_query=data.train_query or data.n_query,
        vary=data.vary,
        rotate=data.rotate,
    )


def evaluation_source(
    table: PictureTable, split: str, *, n_way: int, n_shot: int, n_query: int, vary: bool,
    query_maker: str = "",
) -> EpisodeSource:  # fmt: skip
    """Tasks of one split's classes, tested on one maker's drawings where one is named."""
    return EpisodeSource(
        table,
        split_classes(table, split),
        n_way=n_way,
        n_shot=n_shot,
        n_query=n_query,
        vary=vary,
        query_maker=table.maker(query_maker) if query_maker else None,
    )


def training_time_source(table: PictureTable, data: EpisodeDataConfig, split: str) -> EpisodeSource:
    """Tasks that training measures itself by; never the drawings of `unseen_maker`."""
    return evaluation_source(
        table.without_maker(data.unseen_maker),
        split,
        n_way=data.n_way,
        n_shot=data.n_shot,
        n_query=min(data.n_query, 5),
        vary=data.vary,
    )


def asked_source(
    settings: EvaluateEpisodesConfig, trained_on: EpisodeDataConfig
) -> tuple[str, EpisodeSource]:
    """The data set that the verb `evaluate` is asked to test on, and tasks of it."""
    changed = {"download_path": settings.download_path}
    if settings.dataset:
        changed["dataset"] = settings.dataset
    data = trained_on.model_copy(update=changed)
    source = evaluation_source(
        load_table(data),
        settings.split,
        n_way=settings.n_way,
        n_shot=settings.n_shot,
        n_query=settings.n_query,
        vary=settings.vary,
        query_maker=settings.query_maker,
    )
    return data.dataset, source
