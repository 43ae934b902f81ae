"""Captioned images by name of the set."""

from __future__ import annotations

from pathlib import Path

from triform.base.errors import UsageError
from triform.datasets.captioned.concat import concat_tables
from triform.datasets.captioned.csv_file import load_csv
from triform.datasets.captioned.drawings.load import NAME as DRAWINGS
from triform.datasets.captioned.drawings.load import load_drawings
from triform.datasets.captioned.emoji import UNSEEN, load_emoji, load_unseen_emoji
from triform.datasets.captioned.emoji_languages import load_emoji_languages
from triform.datasets.captioned.furniture import load_furniture
from triform.datasets.captioned.labelled import load_labelled
from triform.datasets.captioned.scenes import load_scenes
from triform.datasets.captioned.table import CaptionTable
from triform.datasets.images.load import IMAGE_DATASETS

DATASETS = ("csv", "scenes", "scenes:digits", DRAWINGS, "emoji", UNSEEN, "furniture")


def load_captioned(
    source: str,
    *,
    images_dir: str = "",
    caption_file: str = "",
    val_split: float = 0.2,
    seed: int = 42,
    download_path: str = "datasets",
    size: int = 0,
    alpha: bool = False,
) -> CaptionTable:
    """Read, download or generate a set of captioned images.

    Args:
        source: "csv" (the user's own), "scenes", "scenes:digits" (either with "/COUNT"),
            "drawings:en,ru" (captions in these languages, also with "/COUNT"), "emoji",
            "joypixels" (for tests alone), "emoji:en,ru" (names in these languages), "furniture", a
            set of images or a folder with one folder per class; several with "+" between them are
            one set.
        images_dir: Folder of the images (csv).
        caption_file: Table `image,caption` (csv).
        val_split: Share of the images for validation (csv).
        seed: Of the splits (csv) or of the scenes.
        download_path: Download folder.
        size: Pixels along each side that are needed of vector drawings ("emoji:en"), which are
            rasterised at 64 or 96; other sets have one size.
        alpha: Keep transparency in sets that have it ("csv", "emoji:en"), where no other set is
            combined with them.

    Raises:
        UsageError: No such set.
        UserError: It cannot be downloaded or used.
    """

    names = source.split("+")
    keep_alpha = alpha and len(names) == 1

    def load_one(name: str) -> CaptionTable:
        if name == "csv":
            return load_csv(
                images_dir, caption_file, val_split=val_split, seed=seed, alpha=keep_alpha
            )
        if name == "emoji":
            return load_emoji(download_path)
        if name == UNSEEN:
            return load_unseen_emoji(download_path)
        if name == "furniture":
            return load_furniture(download_path)
        if name.startswith("emoji:"):
            languages = name.removeprefix("emoji:").split(",")
            return load_emoji_languages(languages, download_path, size=size, alpha=keep_alpha)
        if name.replace("/", ":").partition(":")[0] == DRAWINGS:
            return load_drawings(name, seed=seed)
        if name.partition("/")[0] in DATASETS:
            return load_scenes(name, seed=seed, download_path=download_path)
        if Path(name).is_dir() or name in IMAGE_DATASETS:
            return load_labelled(name, val_split=val_split, seed=seed, download_path=download_path)
        raise UsageError(
            f"dataset: {name!r} is neither a folder nor known; choose {', '.join(DATASETS)}, "
            f"emoji:en,ru or {', '.join(IMAGE_DATASETS)}"
        )

    tables = [load_one(name) for name in names]
    return tables[0] if len(tables) == 1 else concat_tables(source, tables)
