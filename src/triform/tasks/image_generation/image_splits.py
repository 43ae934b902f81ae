"""Images in memory, divided into training, validation and test."""

from collections.abc import Sequence

import torch
from torch import Tensor

from triform.base.errors import UsageError, UserError
from triform.base.logging import get_logger
from triform.base.seeding import generator
from triform.datasets.images.load import load_images
from triform.engine.epoch_loader import EpochLoader
from triform.tasks.image_generation.config import ImageDataConfig, ImageSystemConfig

logger = get_logger(__name__)

MIN_IMAGES = 4
"""Fewest training images."""
MIN_HELD_OUT = 50
"""Fewest images of a split whose distribution is compared with that of generated ones."""


class ImageSplits:
    """The images of a run.

    Attributes:
        name: Name of the data set.
        images: (N, C, H, W) uint8.
        labels: (N,) int64, indices into `classes`.
        classes: Names of the classes.
        rows: Rows of "train", "val" and "test"; "test" is "val" for a set without test images.

    Args:
        data: Settings of the data.
        seed: Seed of the division of a set without validation images.

    Raises:
        UsageError: No such set, no such class, or images that are not square.
        UserError: They cannot be downloaded or read, or are too few.
    """

    def __init__(self, data: ImageDataConfig, seed: int = 0):
        table = load_images(
            data.dataset,
            size=data.image_size or None,
            channels=data.channels or None,
            download_path=data.download_path,
        )
        if table.images.shape[3] == 4:
            table = table.with_channels(3)
        height, width = table.images.shape[1:3]
        if height != width:
            raise UsageError(
                f"dataset: images of {table.name} have {width} x {height} pixels; "
                "give --image_size, to which they are resized"
            )
        self.name, self.classes = table.name, table.classes
        # A view: the images stay in memory as they are, channels last.
        self.images = torch.from_numpy(table.images).permute(0, 3, 1, 2)
        self.labels = torch.from_numpy(table.labels).long()
        self.rows = _divide(
            {name: torch.from_numpy(rows).long() for name, rows in table.splits.items()},
            torch.nonzero(self._class_mask(data.classes))[:, 0],
            data.val_share,
            seed,
        )
        if len(self.rows["train"]) < MIN_IMAGES:
            raise UserError(
                f"dataset {table.name}: {len(self.rows['train'])} training images are too few; "
                f"at least {MIN_IMAGES}"
            )

    @property
    def shape(self) -> tuple[int, int]:
        """Channels, and pixels along each side."""
        return int(self.images.shape[1]), int(self.images.shape[2])

    def _class_mask(self, classes: Sequence[str]) -> Tensor:
        """Mask (N,) of the images of these classes; of all if none are given."""
        if not classes:
            return torch.ones(len(self.labels), dtype=torch.bool)
        indices = {name.lower(): index for index, name in enumerate(self.classes)}
        if missing := [name for name in classes if name.lower() not in indices]:
            known = ", ".join(self.classes[:20])
            raise UsageError(f"classes: {self.name} has no class {missing[0]!r}; it has: {known}")
        return torch.isin(self.labels, torch.tensor([indices[name.lower()] for name in classes]))

    def part(self, split: str, limit: int | None = None) -> Tensor:
        """Images of a split (N, C, H, W) uint8; evenly spaced ones beyond a limit."""
        return self.images[evenly_spaced(self.rows[split], limit)]

    def reference(self, split: str, limit: int) -> Tensor:
        """Real images (N, C, H, W) uint8 whose distribution generated ones should have.

        Those of a split; of all images where it has fewer than 50, of which one measures nothing.
        """
        if len(self.rows[split]) >= MIN_HELD_OUT:
            return self.part(split, limit)
        rows = torch.cat([self.rows["train"], self.rows[split]]).unique()
        logger.warning(
            "%s: %d held-out images are too few to compare distributions with; training images "
            "are counted with them, %d together",
            self.name,
            len(self.rows[split]),
            len(rows),
        )
        return self.images[evenly_spaced(rows, limit)]

    def loader(self, config: ImageSystemConfig) -> EpochLoader:
        """Training batches: `images` (B, C, H, W) float32 in [0, 1], `labels` (B) int64."""
        return EpochLoader(
            len(self.rows["train"]),
            self.fetch,
            batch_size=config.data.batch_size,
            seed=config.seed,
            num_workers=config.data.num_workers,
        )

    def fetch(self, indices: Sequence[int], random: torch.Generator) -> dict[str, Tensor]:
        """A training batch, for the engine's loader."""
        rows = self.rows["train"][list(indices)]
        return {"images": to_float(self.images[rows]), "labels": self.labels[rows]}


def real_images(
    training_data: ImageDataConfig,
    seed: int,
    *,
    shape: tuple[int, int],
    dataset: str,
    download_path: str,
) -> ImageSplits:
    """Real images that generated ones are compared with, in the format of the training images.

    Args:
        training_data: Settings of the training images.
        seed: Seed of the training, for the same division.
        shape: Channels and pixels along each side of the training images, which those of another
            data set are brought to.
        dataset: Another data set; empty for that of the training.
        download_path: Folder of the data sets.

    Raises:
        UsageError: No such set.
        UserError: It cannot be downloaded or read.
    """
    changes: dict[str, object] = {"download_path": download_path}
    if dataset:
        channels, size = shape
        changes |= {"dataset": dataset, "classes": (), "channels": channels, "image_size": size}
    return ImageSplits(training_data.model_copy(update=changes), seed)


def evenly_spaced(rows: Tensor, limit: int | None) -> Tensor:
    """Rows (N,), or evenly spaced ones if there are more than a limit."""
    if limit is None or limit >= len(rows):
        return rows
    return rows[torch.linspace(0, len(rows) - 1, limit).round().long()]


def to_float(images: Tensor) -> Tensor:
    """uint8 images as float32 in [0, 1]."""
    return images.float().div_(255).contiguous()


def to_uint8(images: Tensor) -> Tensor:
    """Images in [0, 1] as uint8 on the CPU, rounded to the nearest value."""
    return images.detach().float().clamp(0, 1).mul(255).round().byte().cpu()


def _divide(
    splits: dict[str, Tensor], selected: Tensor, val_share: float, seed: int
) -> dict[str, Tensor]:
    """Rows of train, val and test among the selected ones; val is drawn from train if missing."""
    rows = {name: split[torch.isin(split, selected)] for name, split in splits.items()}
    train = rows.get("train", selected)
    val = rows.get("val", selected[:0])
    if not len(val):
        order = torch.randperm(len(train), generator=generator("division", seed))
        count = max(2, round(val_share * len(train)))  # of one there is no interval
        val, train = train[order[:count].sort()[0]], train[order[count:].sort()[0]]
    test = rows.get("test", selected[:0])
    return {"train": train, "val": val, "test": test if len(test) else val}
