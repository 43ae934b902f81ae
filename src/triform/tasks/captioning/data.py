"""Captioned images by the settings of a system."""

from __future__ import annotations

from triform.datasets.captioned.load import load_captioned
from triform.datasets.captioned.table import CaptionTable
from triform.tasks.captioning.config import CaptionedDataConfig


def load_table(
    data: CaptionedDataConfig, seed: int, *, size: int = 0, alpha: bool = False
) -> CaptionTable:
    """Load the captioned images that settings name; see `load_captioned`.

    Raises:
        UsageError: No such data.
        UserError: They cannot be downloaded or used.
    """
    return load_captioned(
        data.dataset,
        images_dir=data.images_dir,
        caption_file=data.caption_file,
        val_split=data.val_split,
        seed=seed,
        download_path=data.download_path,
        size=size,
        alpha=alpha,
    )
