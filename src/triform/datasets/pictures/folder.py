"""Any folder of pictures: class folders, with or without train and test folders, or one heap."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from triform.base.errors import UserError
from triform.base.logging import get_logger
from triform.datasets.pictures.table import PictureTable, with_channels
from triform.images.read import IMAGE_SUFFIXES, LONGEST_SIDE, read_image

logger = get_logger(__name__)

# Omniglot's own names count as well.
_SPLITS = {
    "train": "train", "training": "train", "images_background": "train",
    "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test", "images_evaluation": "test",
}  # fmt: skip
# 2 GB of pictures; more belongs into a store that is read piece by piece.
LARGEST_TABLE = 2 * 10**9
# Images up to this many pixels wide and high are resized in one step.
SMALL_SIDE = 2048


def load(folder: Path, size: int | None = None, channels: int | None = None) -> PictureTable:
    """Reads every picture below a folder.

    The folder that a picture lies in is its class. A folder `train`, `val` or `test` above the
    classes is a split; where the splits have different classes (as in Omniglot, whose alphabets
    are `images_background` and `images_evaluation`) the classes are split as well.

    Args:
        folder: the folder.
        size: rows and columns of the result. Not given, all pictures must have one size; nothing
            is resized silently.
        channels: 1, 3 or 4; not given, 1 where all are grey, else 3.

    Raises:
        UserError: no pictures, an unreadable one, or sizes that differ.
    """
    paths = sorted(_walk(folder))
    if not paths:
        raise UserError(f"{folder}: no pictures in it; looked for {' '.join(IMAGE_SUFFIXES)}")
    pictures: list[np.ndarray] = []
    broken: list[str] = []
    bar = tqdm(paths, desc=folder.name, unit="picture", disable=None, leave=False)
    for path in bar:
        try:
            picture = read_pixels(path, size)
        except UserError as error:
            broken.append(str(error))
            continue
        if pictures and size is None and picture.shape[:2] != pictures[0].shape[:2]:
            height, width = pictures[0].shape[:2]
            raise UserError(
                f"{path}: {picture.shape[1]} x {picture.shape[0]} pixels, but {paths[0].name} has "
                f"{width} x {height}; give the size that all shall be resized to"
            )
        pictures.append(picture)
        # All have one size, so that the first one says what they need together.
        if len(paths) * picture.nbytes > LARGEST_TABLE:
            raise UserError(
                f"{folder}: its pictures need more than {LARGEST_TABLE // 10**9} GB in memory; "
                "choose a smaller size or fewer pictures"
            )
    if broken:
        more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
        raise UserError(f"{broken[0]}{more}")
    depth = channels or max(picture.shape[2] for picture in pictures)
    images = np.concatenate(
        [with_channels(picture[None], 3 if depth == 4 and channels is None else depth)
         for picture in pictures]
    )  # fmt: skip
    return _table(folder, paths, images)


def _table(folder: Path, paths: list[Path], images: np.ndarray) -> PictureTable:
    names, splits = [], []
    for path in paths:
        folders = path.relative_to(folder).parts[:-1]
        splits.append(
            next((_SPLITS[part.lower()] for part in folders if part.lower() in _SPLITS), "")
        )
        names.append("/".join(part for part in folders if part.lower() not in _SPLITS))
    classes = tuple(sorted(set(names)))
    labels = np.array([classes.index(name) for name in names], np.int64)
    given = {name: np.array(splits) == name for name in ("train", "val", "test") if name in splits}
    owned = {name: set(labels[rows].tolist()) for name, rows in given.items()}
    apart = len(owned) > 1 and sum(map(len, owned.values())) == len(set().union(*owned.values()))
    return PictureTable(
        name=folder.name,
        images=images,
        labels=labels,
        classes=classes,
        makers=np.zeros(len(paths), np.int64),
        splits={name: np.nonzero(rows)[0] for name, rows in given.items()},
        class_splits={k: np.array(sorted(v), np.int64) for k, v in owned.items()} if apart else {},
        captions=tuple((name.replace("_", " ").replace("/", " "),) for name in classes),
    )


def _walk(folder: Path) -> list[Path]:
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "__MACOSX"))]
        found += [
            Path(place, name) for name in names
            if name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")
        ]  # fmt: skip
    return found


def read_pixels(path: Path, size: int | None = None) -> np.ndarray:
    """Reads one image, resized where a size is given.

    Args:
        path: the file.
        size: rows and columns of the result; not given, those of the image.

    Returns:
        (H, W, C) uint8, C being 1 (grey), 3 (colour) or 4 (colour, straight alpha).

    Raises:
        UserError: it cannot be read.
    """
    # Of large images no more is decoded than can be told apart in the result.
    longest = LONGEST_SIDE if size is None else min(LONGEST_SIDE, max(4 * size, SMALL_SIDE))
    try:
        image = read_image(path, longest=longest, keep_grey=True)
    except UserError as error:
        raise UserError(f"{error}; remove or repair it") from None
    if size is not None:
        image = image.resize((size, size), Image.Resampling.BICUBIC)
    values = np.asarray(image)
    return values[..., None] if values.ndim == 2 else values
