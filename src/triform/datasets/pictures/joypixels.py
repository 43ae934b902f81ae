"""JoyPixels 6: drawings of emoji by a maker that nothing here was trained on; for tests alone.

The firm drew EmojiOne before ("emojione" and "emojione v1" in `emoji`) and began anew after it.
EmojiOne 3, between the two, is no use: a quarter of it are drawings of the second version.
Names are OpenMoji's, as in `emoji`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from triform.base.errors import UserError
from triform.datasets import npm
from triform.datasets.pictures.emoji_drawings import short_key
from triform.datasets.pictures.table import PictureTable
from triform.images.read import read_image

PACKAGE = npm.Package(
    "emoji-assets", "6.6.0",
    "e67b585234a941f76c256150fcda531c0ec1fa8abade4e27e096acaced461d8f",
)  # fmt: skip
MAKER = "joypixels"
LICENCE = "JoyPixels free licence 6: for projects of one's own; not to change or to pass on"
DEFAULT_SIZE = 128


def fetch(folder: Path) -> None:
    """Bring the package into a sub-folder of a folder."""
    npm.fetch(PACKAGE, folder / "assets")


def load(folder: Path, things: Mapping[str, str], size: int | None = None) -> PictureTable:
    """Read what `fetch` has brought.

    Args:
        folder: made by `fetch`.
        things: names by code points (`emoji.things`); other drawings are left out, and so are
            skin tones, which have no names of their own.
        size: rows and columns; 128, as they are brought, by default.

    Returns:
        Pictures with 4 channels, all of them in the split "test".

    Raises:
        UserError: A file is missing or damaged.
    """
    size = size or DEFAULT_SIZE
    codes = {short_key(code): name for code, name in things.items()}
    classes = tuple(things.values())
    images, labels = [], []
    try:
        files = sorted((folder / "assets" / "package" / "png" / "128").glob("*.png"))
        for path in files:
            if (name := codes.get(short_key(path.stem))) is None:
                continue
            picture = read_image(path, kinds=("PNG",)).convert("RGBA")
            drawn = picture.resize((size, size), Image.Resampling.LANCZOS)
            images.append(np.asarray(drawn))
            labels.append(classes.index(name))
        if not images:
            raise ValueError("it holds no known drawing")
    except (UserError, OSError, ValueError) as error:
        raise UserError(
            f"{folder}: incomplete or damaged ({error}); remove the folder and try again"
        ) from None
    return PictureTable(
        name="joypixels",
        images=np.stack(images),
        labels=np.array(labels),
        classes=classes,
        makers=np.zeros(len(labels), dtype=np.int64),
        maker_names=(MAKER,),
        splits={"test": np.arange(len(labels))},
        licence=LICENCE,
    )
