"""Settings of captioned images, for every system that learns from them. Imports no torch."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from triform.base.settings.config import Group
from triform.base.settings.path_role import Input, Storage


class CaptionedDataConfig(Group):
    """Where captioned images come from; a system says which data sets it has."""

    dataset: Annotated[str, Input()] = Field(min_length=1)
    download_path: Annotated[str, Storage()] = Field("datasets", description="Download folder.")
    images_dir: Annotated[str, Input()] = Field(
        "./data/flickr8k/images", description="Folder of the images (csv)."
    )
    caption_file: Annotated[str, Input()] = Field(
        "./data/flickr8k/captions.csv",
        description="CSV with the header image,caption and a row per caption (csv).",
    )
    val_split: float = Field(
        0.1, gt=0, lt=1, description="Share of the images for validation, where a set has none."
    )
