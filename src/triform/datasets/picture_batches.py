"""Pictures in memory, divided into training, validation and test."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from triform.base.errors import UsageError, UserError
from triform.base.seeding import generator
from triform.datasets.picture_settings import EvaluatePicturesConfig, PictureDataConfig
from triform.datasets.pictures.load import load_pictures

SMALLEST = 4
"""Fewest pictures that can be divided."""


class Pictures:
    """The pictures of a run.

    Attributes:
        name: of the data set.
        images: (N, C, H, W) uint8.
        labels: (N,) int64, indices into `classes`.
        classes: names.
        rows: rows of "train", "val" and "test"; "test" is "val" where the set has no tests.

    Args:
        data: which pictures.
        seed: of the division, where the set has none of its own.

    Raises:
        UsageError: no such set, no such class, or pictures that are not square.
        UserError: they cannot be brought or read, or are too few.
    """

    def __init__(self, data: PictureDataConfig, seed: int = 0):
        size = data.image_size or None
        table = load_pictures(
            data.dataset, size=size, channels=data.channels or None,
            download_path=data.download_path,
        )  # fmt: skip
        if table.images.shape[3] == 4:
            table = table.with_channels(3)
        height, width = table.images.shape[1:3]
        if height != width:
            raise UsageError(
                f"dataset: pictures of {table.name} have {width} x {height} pixels; "
                "give --image_size, to which they are resized"
            )
        self.name, self.classes = table.name, table.classes
        # A view: the pictures stay where they are, pixel by pixel.
        self.images = torch.from_numpy(table.images).permute(0, 3, 1, 2)
        self.labels = torch.from_numpy(table.labels).long()
        self.rows = _divided(
            {name: torch.from_numpy(rows).long() for name, rows in table.splits.items()},
            torch.nonzero(self._wanted(data.classes))[:, 0],
            data.val_share,
            seed,
        )
        if len(self.rows["train"]) < SMALLEST:
            raise UserError(
                f"dataset {table.name}: {len(self.rows['train'])} pictures to learn from are too "
                f"few; at least {SMALLEST}"
            )

    @property
    def shape(self) -> tuple[int, int]:
        """Channels, and pixels along each side."""
        return int(self.images.shape[1]), int(self.images.shape[2])

    def _wanted(self, classes: Sequence[str]) -> Tensor:
        if not classes:
            return torch.ones(len(self.labels), dtype=torch.bool)
        known = {name.lower(): number for number, name in enumerate(self.classes)}
        if missing := [name for name in classes if name.lower() not in known]:
            shown = ", ".join(self.classes[:20])
            raise UsageError(f"classes: {self.name} has no class {missing[0]!r}; it has: {shown}")
        numbers = torch.tensor([known[name.lower()] for name in classes])
        return torch.isin(self.labels, numbers)

    def part(self, split: str, limit: int | None = None) -> Tensor:
        """Pictures of a split (N, C, H, W) uint8; of a limited number evenly spread ones."""
        rows = self.rows[split]
        if limit is not None and limit < len(rows):
            rows = rows[torch.linspace(0, len(rows) - 1, limit).round().long()]
        return self.images[rows]

    def fetch(self, indices: Sequence[int], random: torch.Generator) -> dict[str, Tensor]:
        """A training batch, for the engine's loader."""
        rows = self.rows["train"][list(indices)]
        return {"images": as_floats(self.images[rows]), "labels": self.labels[rows]}


def real_pictures(
    trained_on: PictureDataConfig, asked: EvaluatePicturesConfig, seed: int
) -> Pictures:
    """The pictures that made ones are measured against, in the size of the training.

    Args:
        trained_on: data of the training.
        asked: with another `dataset`, where one is wanted.
        seed: of the training, for the same division.

    Raises:
        UsageError: no such set.
        UserError: it cannot be brought or read.
    """
    given: dict[str, object] = {"download_path": asked.download_path}
    if asked.dataset:
        given |= {"dataset": asked.dataset, "classes": ()}
    return Pictures(trained_on.model_copy(update=given), seed)


def as_floats(images: Tensor) -> Tensor:
    """uint8 pixels to float32 in [0, 1]."""
    return images.float().div_(255).contiguous()


def as_pixels(images: Tensor) -> Tensor:
    """Floats in [0, 1] to uint8 pixels: rounded, never cut off."""
    return images.detach().float().clamp(0, 1).mul(255).round().byte().cpu()


def _divided(
    given: dict[str, Tensor], wanted: Tensor, val_share: float, seed: int
) -> dict[str, Tensor]:
    rows = {name: some[torch.isin(some, wanted)] for name, some in given.items()}
    train = rows.get("train", wanted)
    val = rows.get("val", wanted[:0])
    if not len(val):
        order = torch.randperm(len(train), generator=generator("division", seed))
        count = max(1, round(val_share * len(train)))
        val, train = train[order[:count].sort()[0]], train[order[count:].sort()[0]]
    test = rows.get("test", wanted[:0])
    return {"train": train, "val": val, "test": test if len(test) else val}
