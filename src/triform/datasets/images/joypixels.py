"""JoyPixels 6: emoji of a vendor that no model is trained on; for tests only.

The company drew EmojiOne before ("emojione" and "emojione v1" in `emoji`) and then started again.
EmojiOne 3, between the two, is not suitable: a quarter of its drawings are of the second version.
Names are those of OpenMoji, as in `emoji`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from triform.base.errors import UserError
from triform.datasets import npm
from triform.datasets.images.emoji_drawings import short_key
from triform.datasets.images.table import ImageTable
from triform.images.read import read_image

PACKAGE = npm.Package(
    "emoji-assets", "6.6.0", "e67b585234a941f76c256150fcda531c0ec1fa8abade4e27e096acaced461d8f"
)
MAKER = "joypixels"
LICENCE = "JoyPixels free licence 6: for projects of one's own; not to change or to pass on"
DEFAULT_SIZE = 128


def fetch(folder: Path) -> None:
    """Download the package into a sub-folder of a folder."""
    npm.fetch(PACKAGE, folder / "assets")


def load(folder: Path, emoji_names: Mapping[str, str], size: int | None = None) -> ImageTable:
    """Read a folder of `fetch`.

    Args:
        folder: filled by `fetch`.
        emoji_names: names by code points (`emoji.emoji_names`); others are left out, and so are
            skin tones, which have no names of their own.
        size: rows and columns; by default 128, as stored.

    Returns:
        Images with 4 channels, all of them in the split "test".

    Raises:
        UserError: A file is missing or damaged.
    """
    size = size or DEFAULT_SIZE
    names_by_code = {short_key(code): name for code, name in emoji_names.items()}
    classes = tuple(emoji_names.values())
    images, labels = [], []
    try:
        files = sorted((folder / "assets" / "package" / "png" / "128").glob("*.png"))
        for path in files:
            if (name := names_by_code.get(short_key(path.stem))) is None:
                continue
            image = read_image(path, kinds=("PNG",)).convert("RGBA")
            resized = image.resize((size, size), Image.Resampling.LANCZOS)
            images.append(np.asarray(resized))
            labels.append(classes.index(name))
        if not images:
            raise ValueError("it holds no known drawing")
    except (UserError, OSError, ValueError) as error:
        raise UserError(
            f"{folder}: incomplete or damaged ({error}); remove the folder and try again"
        ) from None
    return ImageTable(
        name="joypixels",
        images=np.stack(images),
        labels=np.array(labels),
        classes=classes,
        makers=np.zeros(len(labels), dtype=np.int64),
        maker_names=(MAKER,),
        splits={"test": np.arange(len(labels))},
        licence=LICENCE,
    )
