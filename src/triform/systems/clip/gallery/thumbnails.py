"""Small images of photos, for contact sheets."""

from __future__ import annotations

import numpy as np
from PIL import Image

from triform.base.errors import UserError
from triform.images.raw import RAW_SUFFIXES, read_raw
from triform.images.read import on_background, read_image
from triform.images.video import read_frame

SIDE = 192
_BLANK = (230, 230, 230)


def thumbnail(path: str, second: float | None = None) -> np.ndarray:
    """A small image (H, W, 3) uint8 of a file; grey where it cannot be read.

    Args:
        path: The file.
        second: Of the frame, where it is a video.
    """
    try:
        if second is not None:
            image = read_frame(path, second, longest=SIDE)
        elif path.lower().endswith(RAW_SUFFIXES):
            image = read_raw(path, longest=SIDE).image
        else:
            image = on_background(read_image(path, longest=SIDE))
    except UserError:
        image = Image.new("RGB", (SIDE, SIDE), _BLANK)
    image.thumbnail((SIDE, SIDE))
    return np.asarray(image)
