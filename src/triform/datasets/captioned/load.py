"""Captioned pictures by name."""

from __future__ import annotations

from triform.base.errors import UsageError
from triform.datasets.captioned.csv_file import load_csv
from triform.datasets.captioned.emoji import UNSEEN, load_emoji, load_unseen_emoji
from triform.datasets.captioned.furniture import load_furniture
from triform.datasets.captioned.joined import joined
from triform.datasets.captioned.scenes import load_scenes
from triform.datasets.captioned.table import CaptionTable

KNOWN = ("csv", "scenes", "scenes:digits", "emoji", UNSEEN, "furniture")


def load_captioned(
    source: str,
    *,
    images_dir: str = "",
    caption_file: str = "",
    val_split: float = 0.2,
    seed: int = 42,
    download_path: str = "datasets",
) -> CaptionTable:
    """Reads, brings or makes a set of captioned pictures.

    Args:
        source: "csv" (the user's own), "scenes", "scenes:digits" (either with "/COUNT"), "emoji",
            "joypixels" (for tests alone), "furniture"; several with "+" between them are one set.
        images_dir: folder of the pictures (csv).
        caption_file: table `image,caption` (csv).
        val_split: share of the pictures for validation (csv).
        seed: of the division (csv) or of the scenes.
        download_path: folder for what has to be brought.

    Raises:
        UsageError: no such set.
        UserError: it cannot be brought or used.
    """
    if "+" in source:
        parts = [
            load_captioned(
                part, images_dir=images_dir, caption_file=caption_file, val_split=val_split,
                seed=seed, download_path=download_path,
            )
            for part in source.split("+")
        ]  # fmt: skip
        return joined(source, parts)
    if source == "csv":
        return load_csv(images_dir, caption_file, val_split=val_split, seed=seed)
    if source == "emoji":
        return load_emoji(download_path)
    if source == UNSEEN:
        return load_unseen_emoji(download_path)
    if source == "furniture":
        return load_furniture(download_path)
    if source.partition("/")[0] in KNOWN:
        return load_scenes(source, seed=seed, download_path=download_path)
    raise UsageError(f"dataset: {source!r} is not known; choose {', '.join(KNOWN)}")
