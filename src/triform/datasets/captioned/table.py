"""Captioned images as a table: images, captions and splits by row."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from triform.base.errors import UsageError
from triform.images.read import HELD_SIDE, on_background, read_image


class Images(Protocol):
    """Images by row, in memory or on disk."""

    def __len__(self) -> int:
        """The number of images."""

    def image(self, row: int) -> np.ndarray:
        """One image, (H, W, 3) uint8 sRGB; with alpha (H, W, 4) where a set was loaded so."""

    def name(self, row: int) -> str:
        """Its file, or what it shows."""


@dataclass(frozen=True)
class ArrayImages:
    """Images in memory: (N, H, W, 3 or 4) uint8 sRGB, and a name for each."""

    images: np.ndarray
    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.images)

    def image(self, row: int) -> np.ndarray:
        """One image, (H, W, 3) uint8 sRGB."""
        return np.asarray(self.images[row])

    def name(self, row: int) -> str:
        """The name of the image."""
        return self.names[row]


@dataclass(frozen=True)
class FileImages:
    """Images in a folder, read on access; transparent pixels become white, or keep their alpha."""

    folder: Path
    names: Sequence[str]
    alpha: bool = False

    def __len__(self) -> int:
        return len(self.names)

    def image(self, row: int) -> np.ndarray:
        """One image, (H, W, 3) uint8 sRGB, or (H, W, 4) with alpha.

        Raises:
            UserError: The file is gone or damaged by now.
        """
        image = read_image(self.folder / self.names[row], longest=HELD_SIDE)
        return np.asarray(image.convert("RGBA") if self.alpha else on_background(image))

    def name(self, row: int) -> str:
        """The file, relative to the folder."""
        return self.names[row]


@dataclass(frozen=True, eq=False)
class CaptionTable:
    """A set of captioned images.

    Attributes:
        name: Name of the set.
        images: By row.
        captions: One sentence or more about each image.
        splits: Rows of "train", "val", "test", and of further test splits that a set has.
        digest: sha256 of names, captions and splits.
        licence: In a few words.
        contents: What each image shows, in the form that content accuracy compares; empty where
            a set does not know it.
        attributes: Names of the parts of each content, where contents are tuples of texts.
    """

    name: str
    images: Images
    captions: tuple[tuple[str, ...], ...]
    splits: Mapping[str, np.ndarray]
    digest: str
    licence: str = ""
    contents: tuple[object, ...] = ()
    attributes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.captions)

    def rows(self, split: str) -> np.ndarray:
        """Rows of a split.

        Raises:
            UsageError: The set has no such split, or nothing is in it.
        """
        if len(self.splits.get(split, ())) == 0:
            known = ", ".join(name for name, rows in self.splits.items() if len(rows)) or "none"
            raise UsageError(f"split: {self.name} has nothing in {split!r}; it has: {known}")
        return self.splits[split]


def make_table(
    name: str,
    images: Images,
    captions: Sequence[Sequence[str]],
    splits: Mapping[str, np.ndarray],
    *,
    licence: str = "",
    contents: Sequence[object] = (),
    attributes: Sequence[str] = (),
) -> CaptionTable:
    """Make a table with its digest."""
    texts = tuple(tuple(sentences) for sentences in captions)
    names = [images.name(row) for row in range(len(texts))]
    rows_of = {split: np.asarray(rows).tolist() for split, rows in splits.items()}
    content = json.dumps([name, names, texts, rows_of], ensure_ascii=False)
    digest = hashlib.sha256(content.encode()).hexdigest()
    return CaptionTable(
        name, images, texts, splits, digest, licence, tuple(contents), tuple(attributes)
    )
