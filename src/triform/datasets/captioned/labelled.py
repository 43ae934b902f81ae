"""Image data sets and folders with one folder per class, captioned with the names of classes."""

from __future__ import annotations

import numpy as np
import torch

from triform.base.seeding import generator
from triform.datasets.captioned.table import ArrayImages, CaptionTable, make_table
from triform.datasets.images.load import load_images

CAPTIONS = ("{}", "a photo of a {}", "a picture of a {}")


def load_labelled(
    source: str, *, val_split: float, seed: int, download_path: str, size: int | None = None
) -> CaptionTable:
    """Load a set of images whose captions are made of the names of their classes.

    Args:
        source: A folder, or the name of a set of images.
        val_split: Share of the training images for validation, where the set has none.
        seed: Of that split.
        download_path: Download folder.
        size: Pixels along each side; None for those of the source.

    Raises:
        UsageError: Neither a folder nor a known name.
        UserError: The images cannot be downloaded or read.
    """
    table = load_images(source, size=size, channels=3, download_path=download_path)
    names = [name.replace("_", " ").replace("/", " or ").lower() for name in table.classes]
    splits = dict(table.splits)
    train = splits.get("train", np.arange(len(table)) if not splits else np.array([], int))
    if "val" not in splits and len(train) > 1:
        order = torch.randperm(len(train), generator=generator("labelled", seed)).numpy()
        count = min(max(1, round(val_split * len(train))), len(train) - 1)
        splits |= {"val": np.sort(train[order[:count]]), "train": np.sort(train[order[count:]])}
    contents = [names[label] for label in table.labels]
    return make_table(
        table.name,
        ArrayImages(table.images, [f"{name} {row}" for row, name in enumerate(contents)]),
        [[text.format(name) for text in CAPTIONS] for name in contents],
        splits,
        licence=table.licence,
        contents=contents,
    )
