"""What every set of pictures is once it is read: one array, and a few facts about each row."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from PIL import Image

from triform.base.errors import UsageError

WHITE = 255.0


@dataclasses.dataclass(frozen=True, eq=False)
class PictureTable:
    """A set of pictures in memory.

    Attributes:
        name: of the data set.
        images: (N, H, W, C) uint8 sRGB; C is 1 (grey), 3 (colour) or 4 (colour, straight alpha).
        labels: (N,) int64, indices into `classes`.
        classes: names.
        makers: (N,) int64, indices into `maker_names`: who drew a picture, where several drew the
            same things (vendors, typefaces); zeros elsewhere.
        maker_names: names.
        splits: rows of "train", "val", "test", as far as the source has such a division.
        class_splits: the same over classes, for learning about classes never seen.
        captions: sentences for each class; empty where a class is a mere number.
        licence: in a few words.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    makers: np.ndarray
    maker_names: tuple[str, ...] = ("",)
    splits: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    class_splits: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    captions: tuple[tuple[str, ...], ...] = ()
    licence: str = ""

    def __len__(self) -> int:
        return len(self.images)

    def rows(self, split: str) -> np.ndarray:
        """Rows of a split.

        Raises:
            UsageError: the set has no such split.
        """
        if split not in self.splits:
            known = ", ".join(self.splits) or "none"
            raise UsageError(f"split: {self.name} has no split {split!r}; it has: {known}")
        return self.splits[split]

    def maker(self, name: str) -> int:
        """Number of a maker.

        Raises:
            UsageError: nobody of that name drew these pictures.
        """
        if name not in self.maker_names:
            known = ", ".join(filter(None, self.maker_names)) or "none"
            raise UsageError(f"maker: {name!r} drew nothing of {self.name}; known: {known}")
        return self.maker_names.index(name)

    def without_maker(self, name: str) -> PictureTable:
        """The same classes without one maker's drawings; all of them where the name is empty."""
        if not name:
            return self
        kept = np.nonzero(self.makers != self.maker(name))[0]
        return dataclasses.replace(
            self,
            images=self.images[kept],
            labels=self.labels[kept],
            makers=self.makers[kept],
            splits={key: np.nonzero(np.isin(kept, rows))[0] for key, rows in self.splits.items()},
        )

    def with_channels(self, channels: int) -> PictureTable:
        """The same pictures with 1, 3 or 4 channels; what is transparent becomes white."""
        return dataclasses.replace(self, images=with_channels(self.images, channels))

    def resized(self, size: int) -> PictureTable:
        """The same pictures with `size` rows and columns."""
        if self.images.shape[1:3] == (size, size):
            return self
        return dataclasses.replace(self, images=resize(self.images, size))


def with_channels(images: np.ndarray, channels: int) -> np.ndarray:
    """Turns (N, H, W, C) uint8 pictures into grey (1), colour (3) or colour with alpha (4).

    Raises:
        UsageError: any other number of channels.
    """
    given = images.shape[3]
    if channels not in (1, 3, 4):
        raise UsageError(f"channels: {channels} is not possible; choose 1 (grey), 3 or 4 (alpha)")
    if given == channels:
        return images
    if channels == 4:
        colors = np.repeat(images, 3, axis=3) if given == 1 else images
        return np.concatenate([colors, np.full_like(colors[..., :1], 255)], axis=3)
    if given == 4:
        images = _over_white(images)
    if channels == 3:
        return np.repeat(images, 3, axis=3) if images.shape[3] == 1 else images
    # Rec. 601, as Pillow's mode L
    grey = images.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return np.rint(grey).astype(np.uint8)[..., None]


def _over_white(images: np.ndarray) -> np.ndarray:
    flat = np.empty((*images.shape[:3], 3), np.uint8)
    for row, picture in enumerate(images):  # one at a time: floats of all would fill the memory
        share = picture[..., 3:].astype(np.float32) / 255
        flat[row] = np.rint(picture[..., :3] * share + WHITE * (1 - share))
    return flat


def resize(images: np.ndarray, size: int) -> np.ndarray:
    """Resizes (N, H, W, C) uint8 pictures to (N, size, size, C), averaging where they shrink."""
    resized = np.empty((len(images), size, size, images.shape[3]), np.uint8)
    for row, picture in enumerate(images):
        given = picture[..., 0] if picture.shape[2] == 1 else picture
        small = Image.fromarray(given).resize((size, size), Image.Resampling.BICUBIC)
        resized[row] = np.asarray(small).reshape(size, size, -1)
    return resized
