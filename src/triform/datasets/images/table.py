"""Image data sets in memory: one array of images with labels, splits and captions."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from PIL import Image

from triform.base.errors import UsageError

WHITE = 255.0


@dataclasses.dataclass(frozen=True, eq=False)
class ImageTable:
    """An image data set in memory.

    Attributes:
        name: of the data set.
        images: (N, H, W, C) uint8 sRGB; C is 1 (grey), 3 (colour) or 4 (colour, straight alpha).
        labels: (N,) int64, indices into `classes`.
        classes: names.
        makers: (N,) int64, indices into `maker_names`: vendor or typeface, if several drew the same
            classes; else zeros.
        maker_names: names.
        splits: rows of "train", "val" and "test", if the source has splits.
        class_splits: the same over classes, for few-shot learning on unseen classes.
        captions: sentences for each class; empty if classes have only numbers.
        licence: short name.
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
            UsageError: the data set has no such split.
        """
        if split not in self.splits:
            known = ", ".join(self.splits) or "none"
            raise UsageError(f"split: {self.name} has no split {split!r}; it has: {known}")
        return self.splits[split]

    def maker(self, name: str) -> int:
        """Index of a maker.

        Raises:
            UsageError: the data set has no such maker.
        """
        if name not in self.maker_names:
            known = ", ".join(filter(None, self.maker_names)) or "none"
            raise UsageError(f"maker: {name!r} drew nothing of {self.name}; known: {known}")
        return self.maker_names.index(name)

    def without_maker(self, name: str) -> ImageTable:
        """The data set without the images of a maker; unchanged if the name is empty."""
        if not name:
            return self
        rows_left = np.nonzero(self.makers != self.maker(name))[0]
        return dataclasses.replace(
            self,
            images=self.images[rows_left],
            labels=self.labels[rows_left],
            makers=self.makers[rows_left],
            splits={
                key: np.nonzero(np.isin(rows_left, rows))[0] for key, rows in self.splits.items()
            },
        )

    def with_channels(self, channels: int) -> ImageTable:
        """The data set with 1, 3 or 4 channels; transparent pixels become white."""
        return dataclasses.replace(self, images=with_channels(self.images, channels))

    def resized(self, size: int) -> ImageTable:
        """The data set with images of `size` rows and columns."""
        if self.images.shape[1:3] == (size, size):
            return self
        return dataclasses.replace(self, images=resize(self.images, size))


def with_channels(images: np.ndarray, channels: int) -> np.ndarray:
    """Convert (N, H, W, C) uint8 images to grey (1), colour (3) or colour with alpha (4).

    Raises:
        UsageError: any other number of channels.
    """
    num_channels = images.shape[3]
    if channels not in (1, 3, 4):
        raise UsageError(f"channels: {channels} is not possible; choose 1 (grey), 3 or 4 (alpha)")
    if num_channels == channels:
        return images
    if channels == 4:
        colors = np.repeat(images, 3, axis=3) if num_channels == 1 else images
        return np.concatenate([colors, np.full_like(colors[..., :1], 255)], axis=3)
    if num_channels == 4:
        images = _over_white(images)
    if channels == 3:
        return np.repeat(images, 3, axis=3) if images.shape[3] == 1 else images
    # Rec. 601, as Pillow's mode L
    grey = images.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return np.rint(grey).astype(np.uint8)[..., None]


def _over_white(images: np.ndarray) -> np.ndarray:
    flat = np.empty((*images.shape[:3], 3), np.uint8)
    for row, image in enumerate(images):  # one at a time: floats of all would need too much memory
        share = image[..., 3:].astype(np.float32) / 255
        flat[row] = np.rint(image[..., :3] * share + WHITE * (1 - share))
    return flat


def resize(images: np.ndarray, size: int) -> np.ndarray:
    """Resize (N, H, W, C) uint8 images to (N, size, size, C), with antialiasing."""
    resized = np.empty((len(images), size, size, images.shape[3]), np.uint8)
    for row, image in enumerate(images):
        pixels = image[..., 0] if image.shape[2] == 1 else image
        small = Image.fromarray(pixels).resize((size, size), Image.Resampling.BICUBIC)
        resized[row] = np.asarray(small).reshape(size, size, -1)
    return resized
