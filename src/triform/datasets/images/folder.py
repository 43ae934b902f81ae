"""Any folder of images, with or without class folders and split folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from triform.base.errors import UserError
from triform.base.folder_listing import left_out, list_files
from triform.base.progress import progress_bar
from triform.datasets.images.table import ImageTable, with_channels
from triform.datasets.shape import SPLIT_NAMES
from triform.images.read import IMAGE_SUFFIXES, LONGEST_SIDE, read_image

# With the names of Omniglot.
_SPLITS = {
    **SPLIT_NAMES,
    "testing": "test",
    "images_background": "train",
    "images_evaluation": "test",
}
# 2 GB of images: the data set is held in memory.
LARGEST_TABLE = 2 * 10**9
# Images with sides up to this many pixels are resized in one step.
SMALL_SIDE = 2048


def load(folder: Path, size: int | None = None, channels: int | None = None) -> ImageTable:
    """Read all images below a folder.

    The folder of an image is its class. A folder `train`, `val` or `test` above the classes is a
    split; if the splits have different classes (as in Omniglot, with `images_background` and
    `images_evaluation`), the classes are split as well.

    Args:
        folder: the folder.
        size: rows and columns of the result; None if all images have the same size.
        channels: 1, 3 or 4; None for 1 if all are grey, else 3.

    Raises:
        UserError: no images, an unreadable one, or different sizes.
    """
    paths = list_files(folder, IMAGE_SUFFIXES)
    if not paths:
        raise UserError(
            f"{folder}: no images in it; looked for {' '.join(IMAGE_SUFFIXES)}"
            + left_out(folder, IMAGE_SUFFIXES)
        )
    arrays: list[np.ndarray] = []
    broken: list[str] = []
    bar = progress_bar(paths, desc=folder.name, unit="image")
    for path in bar:
        try:
            image = read_pixels(path, size)
        except UserError as error:
            broken.append(str(error))
            continue
        if arrays and size is None and image.shape[:2] != arrays[0].shape[:2]:
            height, width = arrays[0].shape[:2]
            raise UserError(
                f"{path}: {image.shape[1]} x {image.shape[0]} pixels, but {paths[0].name} has "
                f"{width} x {height}; give a size to resize all to, such as --image_size 64"
            )
        arrays.append(image)
        # All have one size: the first one gives the memory for all.
        if len(paths) * image.nbytes > LARGEST_TABLE:
            raise UserError(
                f"{folder}: its images need more than {LARGEST_TABLE // 10**9} GB in memory; "
                "choose a smaller size or fewer images"
            )
    if broken:
        more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
        raise UserError(f"{broken[0]}{more}")
    num_channels = channels or max(image.shape[2] for image in arrays)
    images = np.concatenate(
        [
            with_channels(
                image[None], 3 if num_channels == 4 and channels is None else num_channels
            )
            for image in arrays
        ]
    )
    return _table(folder, paths, images)


def _table(folder: Path, paths: list[Path], images: np.ndarray) -> ImageTable:
    names, splits = [], []
    for path in paths:
        folders = path.relative_to(folder).parts[:-1]
        splits.append(
            next((_SPLITS[part.lower()] for part in folders if part.lower() in _SPLITS), "")
        )
        names.append("/".join(part for part in folders if part.lower() not in _SPLITS))
    classes = tuple(sorted(set(names)))
    labels = np.array([classes.index(name) for name in names], np.int64)
    split_rows = {
        name: np.array(splits) == name for name in ("train", "val", "test") if name in splits
    }
    split_classes = {name: set(labels[rows].tolist()) for name, rows in split_rows.items()}
    are_disjoint = len(split_classes) > 1 and sum(map(len, split_classes.values())) == len(
        set().union(*split_classes.values())
    )
    return ImageTable(
        name=folder.name,
        images=images,
        labels=labels,
        classes=classes,
        makers=np.zeros(len(paths), np.int64),
        splits={name: np.nonzero(rows)[0] for name, rows in split_rows.items()},
        class_splits={k: np.array(sorted(v), np.int64) for k, v in split_classes.items()}
        if are_disjoint
        else {},
        captions=tuple((name.replace("_", " ").replace("/", " "),) for name in classes),
    )


def read_pixels(path: Path, size: int | None = None) -> np.ndarray:
    """Read one image, optionally resized.

    Args:
        path: the file.
        size: rows and columns of the result; None for those of the image.

    Returns:
        (H, W, C) uint8, C being 1 (grey), 3 (colour) or 4 (colour, straight alpha).

    Raises:
        UserError: it cannot be read.
    """
    # Large images are decoded at a lower resolution if the result does not need more.
    longest = LONGEST_SIDE if size is None else min(LONGEST_SIDE, max(4 * size, SMALL_SIDE))
    try:
        image = read_image(path, longest=longest, keep_grey=True)
    except UserError as error:
        raise UserError(f"{error}; remove or repair it") from None
    if size is not None:
        image = image.resize((size, size), Image.Resampling.BICUBIC)
    values = np.asarray(image)
    return values[..., None] if values.ndim == 2 else values
