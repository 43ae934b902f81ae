"""Image data sets by name or folder."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock

from triform.base.errors import UsageError
from triform.base.settings.nearest import nearest
from triform.datasets.images import emoji, folder, glyphs, joypixels, mnist
from triform.datasets.images.table import ImageTable
from triform.datasets.managed_folder import make_folder
from triform.datasets.shape import read_marker


@dataclasses.dataclass(frozen=True)
class ImageDatasetInfo:
    """A known image data set.

    Attributes:
        about: short description.
        images: number of images.
        licence: short name.
        read: reads it from its folder, at an image size or (None) the stored one.
        fetch: downloads it into its folder; None if no download is needed.
        for_tests: used for evaluation only, never for training.
    """

    about: str
    images: int
    licence: str
    read: Callable[[Path, int | None], ImageTable]
    fetch: Callable[[Path], object] | None = None
    for_tests: bool = False


IMAGE_DATASETS: dict[str, ImageDatasetInfo] = {
    "digits": ImageDatasetInfo(
        "images of handwritten digits, 8 x 8, grey",
        1797,
        "CC BY 4.0",
        lambda _, __: mnist.load_digits(),
    ),
    "mnist": ImageDatasetInfo(
        "images of handwritten digits, 28 x 28, grey",
        70000,
        "CC BY-SA 3.0",
        lambda folder, _: mnist.load_mnist(folder),
        mnist.fetch_mnist,
    ),
    "fashion-mnist": ImageDatasetInfo(
        "images of clothes of ten kinds, 28 x 28, grey",
        70000,
        "MIT",
        lambda folder, _: mnist.load_fashion(folder),
        mnist.fetch_fashion,
    ),
    "glyphs": ImageDatasetInfo(
        "images of characters in up to 16 typefaces, grey",
        26670,
        glyphs.LICENCE,
        lambda _, size: glyphs.load(size),
    ),
    "emoji": ImageDatasetInfo(
        "images of emoji drawn by up to thirteen makers, with names and tags",
        14315,
        emoji.LICENCE,
        emoji.load,
        emoji.fetch,
    ),
    "joypixels": ImageDatasetInfo(
        "emoji drawn by a maker that nothing was trained on, for tests alone",
        1914,
        joypixels.LICENCE,
        lambda folder, size: joypixels.load(
            folder, emoji.emoji_names(fetch_images("emoji", folder.parent)), size
        ),
        joypixels.fetch,
        for_tests=True,
    ),
}


def load_images(
    source: str | Path,
    *,
    size: int | None = None,
    channels: int | None = None,
    download_path: str | Path = "datasets",
    for_tests: bool = False,
) -> ImageTable:
    """Find, download or generate an image data set and read it.

    Args:
        source: a folder, or a known name in any case.
        size: pixels along each side; None for those of the source.
        channels: 1, 3 or 4; None for those of the source.
        download_path: folder of downloaded data sets.
        for_tests: allow data sets that are for tests only; nothing is trained on them.

    Raises:
        UsageError: neither a folder nor a known name, a data set for tests, or an impossible size.
        UserError: the images cannot be downloaded or read.
    """
    if size is not None and not 4 <= size <= 4096:
        raise UsageError(f"size: {size} is not possible; choose 4 to 4096 pixels")
    if os.path.isdir(os.path.expanduser(source)) and str(source).strip():
        return folder.load(Path(source).expanduser(), size, channels)
    name = str(source).strip().lower()
    if name not in IMAGE_DATASETS:
        hint = nearest(name, IMAGE_DATASETS) or f"; known: {', '.join(IMAGE_DATASETS)}"
        raise UsageError(f"dataset: {str(source)!r} is neither a folder nor a known name{hint}")
    info = IMAGE_DATASETS[name]
    if info.for_tests and not for_tests:
        raise UsageError(f"dataset: {name} is kept for tests; nothing may be trained on it")
    table = info.read(fetch_images(name, download_path), size)
    table = table if size is None else table.resized(size)
    return table if channels is None else table.with_channels(channels)


def fetch_images(name: str, download_path: str | Path = "datasets") -> Path:
    """Folder of a known image data set; downloaded if needed."""
    info, target = IMAGE_DATASETS[name], Path(download_path) / name
    fetch = info.fetch
    if fetch is None or is_ready(name, download_path):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.parent / f".{name}.lock"):
        if is_ready(name, download_path):  # another process has finished it meanwhile
            return target

        def make(partial: Path) -> None:
            partial.mkdir()
            fetch(partial)

        make_folder(name, target, make, {"licence": info.licence})
    return target


def is_ready(name: str, download_path: str | Path = "datasets") -> bool:
    """Whether a known image data set needs no download."""
    marker = read_marker(Path(download_path) / name)
    return IMAGE_DATASETS[name].fetch is None or marker.get("name") == name


def list_images(download_path: str | Path = "datasets") -> list[dict[str, Any]]:
    """Known image data sets with size, licence and state."""
    rows = []
    for name, info in IMAGE_DATASETS.items():
        ready = is_ready(name, download_path)
        state = "made here" if info.fetch is None else "ready" if ready else "to download"
        rows.append(
            {
                "name": name,
                "objects": info.images,
                "state": state,
                "licence": info.licence,
                "about": info.about,
                "url": "",
                "path": str(Path(download_path) / name) if info.fetch and ready else "",
            }
        )
    return rows
