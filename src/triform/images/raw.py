"""Photos as a camera's sensor recorded them (RAW), by rawpy (extra `raw`).

Nearly all of them hold a JPEG that the camera made of them, which shows what the photographer saw
and is read in milliseconds; only where there is none the sensor's values are developed.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from triform.base.errors import UserError
from triform.images.headers import Header
from triform.images.read import HELD_SIDE, LARGEST_PIXELS, image_content, read_image

RAW_SUFFIXES = (
    *(".3fr", ".arw", ".cr2", ".cr3", ".dng", ".erf", ".kdc", ".mef", ".mos", ".mrw", ".nef"),
    *(".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"),
)
PACKAGE, EXTRA = "rawpy", "raw"
# LibRaw's numbers of how the camera was held -> what turns the image upright.
_TURNS = {
    3: Image.Transpose.ROTATE_180,
    5: Image.Transpose.ROTATE_90,
    6: Image.Transpose.ROTATE_270,
}


@dataclass(frozen=True)
class RawPhoto:
    """A photo, with the size of the sensor's image, upright.

    Attributes:
        image: RGB, its longest side at most as was asked for.
        width: Pixels.
        height: Pixels.
        taken: As in `images.headers.Tags`.
    """

    image: Image.Image
    width: int
    height: int
    taken: str


def read_raw(
    source: str | os.PathLike[str] | bytes, name: str | None = None, *, longest: int = HELD_SIDE
) -> RawPhoto:
    """Read the preview in a RAW file, or develop it where it has none.

    Args:
        source: The file, or its content.
        name: What a complaint calls it; the file's name where not given.
        longest: Pixels of the longest side of the result.

    Raises:
        UserError: The package is not installed, or the file cannot be read.
    """
    name = name or ("photo" if isinstance(source, bytes) else str(source))
    try:
        import rawpy
    except ImportError:
        raise UserError(f"{name}: RAW is read with `pip install triform[{EXTRA}]`") from None
    data = source if isinstance(source, bytes) else image_content(source, name)
    try:
        with rawpy.imread(io.BytesIO(data)) as raw:
            sizes = raw.sizes
            width, height = sizes.width, sizes.height
            if width * height > 4 * LARGEST_PIXELS:
                raise UserError(f"{name}: {width} x {height} pixels are too many")
            image = _preview(raw, sizes.flip, name, longest)
            if image is None:
                pixels = raw.postprocess(half_size=True, use_camera_wb=True, output_bps=8)
                image = Image.fromarray(np.ascontiguousarray(pixels))  # the library has turned it
    except (rawpy.LibRawError, MemoryError, ValueError) as error:
        detail = error.args[0] if error.args else ""
        text = detail.decode(errors="replace") if isinstance(detail, bytes) else str(detail)
        reason = " ".join(text.split())[:100]
        raise UserError(f"{name}: damaged or no RAW photo ({reason})") from None
    if sizes.flip in (5, 6):
        width, height = height, width
    image.thumbnail((longest, longest), Image.Resampling.BICUBIC)
    return RawPhoto(image, width, height, _taken(data))


def _preview(raw: Any, flip: int, name: str, longest: int) -> Image.Image | None:
    """The upright preview; None where there is none that can be read."""
    import rawpy

    try:
        found = raw.extract_thumb()
    except (rawpy.LibRawNoThumbnailError, rawpy.LibRawUnsupportedThumbnailError):
        return None
    if found.format == rawpy.ThumbFormat.BITMAP:
        image = Image.fromarray(np.ascontiguousarray(found.data))
        is_upright = False
    else:
        try:
            image = read_image(bytes(found.data), name, longest=longest)
        except UserError:
            return None
        is_upright = Header(bytes(found.data)).orientation != 1
    turn = None if is_upright else _TURNS.get(flip)
    return image if turn is None else image.transpose(turn)


def _taken(data: bytes) -> str:
    """The date in the tags, of files that are built like a TIFF, as most are."""
    if data[:4] not in (b"II*\0", b"MM\0*"):
        return ""
    try:
        return Header(data).taken
    except ValueError:
        return ""
