"""What every set of captioned pictures is once it is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from triform.base.errors import UsageError
from triform.images.read import HELD_SIDE, on_background, read_image


class Pictures(Protocol):
    """Pictures by row, in memory or on disk."""

    def __len__(self) -> int:
        """How many there are."""

    def picture(self, row: int) -> np.ndarray:
        """One picture, (H, W, 3) uint8 sRGB."""

    def name(self, row: int) -> str:
        """What it is called: its file, or what it shows."""


@dataclass(frozen=True)
class DrawnPictures:
    """Pictures in memory: (N, H, W, 3) uint8 sRGB, and a name for each."""

    images: np.ndarray
    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.images)

    def picture(self, row: int) -> np.ndarray:
        """One picture, (H, W, 3) uint8 sRGB."""
        shown: np.ndarray = self.images[row]
        return shown

    def name(self, row: int) -> str:
        """What it is called."""
        return self.names[row]


@dataclass(frozen=True)
class FilePictures:
    """Pictures in a folder, read when they are asked for; what is transparent becomes white."""

    folder: Path
    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.names)

    def picture(self, row: int) -> np.ndarray:
        """One picture, (H, W, 3) uint8 sRGB.

        Raises:
            UserError: the file is gone or damaged by now.
        """
        path = self.folder / self.names[row]
        return np.asarray(on_background(read_image(path, longest=HELD_SIDE)))

    def name(self, row: int) -> str:
        """Its file, relative to the folder."""
        return self.names[row]


@dataclass(frozen=True, eq=False)
class CaptionTable:
    """A set of captioned pictures.

    Attributes:
        name: of the set.
        pictures: by row.
        captions: what people (or a grammar) said about each, one sentence or more.
        splits: rows of "train", "val", "test", and of further tests that a set has.
        digest: sha256 of names, captions and splits.
        licence: in a few words.
        contents: what each picture shows, in the form that the set's own score compares; empty
            where a set has no such thing.
    """

    name: str
    pictures: Pictures
    captions: tuple[tuple[str, ...], ...]
    splits: Mapping[str, np.ndarray]
    digest: str
    licence: str = ""
    contents: tuple[Any, ...] = ()

    def __len__(self) -> int:
        return len(self.captions)

    def rows(self, split: str) -> np.ndarray:
        """Rows of a split.

        Raises:
            UsageError: the set has no such split, or nothing is in it.
        """
        if len(self.splits.get(split, ())) == 0:
            known = ", ".join(name for name, rows in self.splits.items() if len(rows)) or "none"
            raise UsageError(f"split: {self.name} has nothing in {split!r}; it has: {known}")
        return self.splits[split]


def make_table(
    name: str,
    pictures: Pictures,
    captions: Sequence[Sequence[str]],
    splits: Mapping[str, np.ndarray],
    **more: Any,
) -> CaptionTable:
    """A table with its digest."""
    said = tuple(tuple(own) for own in captions)
    names = [pictures.name(row) for row in range(len(said))]
    divided = {key: np.asarray(rows).tolist() for key, rows in splits.items()}
    content = json.dumps([name, names, said, divided], ensure_ascii=False)
    digest = hashlib.sha256(content.encode()).hexdigest()
    return CaptionTable(name, pictures, said, splits, digest, **more)
