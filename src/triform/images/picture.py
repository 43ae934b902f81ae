"""Reading a picture of any common format, whatever is in it."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from triform.base.errors import UserError

PICTURE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
LARGEST_FILE = 2**28
LARGEST_SIDE = 30_000
LARGEST_PIXELS = 100_000_000
WHITE = (255, 255, 255)
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")


def read_picture(source: str | os.PathLike[str] | bytes, name: str | None = None) -> Image.Image:
    """A picture as a viewer shows it: turned as its camera said, RGB, or RGBA where it has alpha.

    Args:
        source: A file, or its content.
        name: What a complaint calls it; the file's name where not given.

    Raises:
        UserError: Not there, too large, damaged, or no picture.
    """
    name = name or ("picture" if isinstance(source, bytes) else str(source))
    data = source if isinstance(source, bytes) else _content(Path(source), name)
    if not data:
        raise UserError(f"{name}: the file is empty, expected a picture")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of what is refused or harmless here
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                # The header says how much memory the rest will ask for.
                if max(image.size) > LARGEST_SIDE or image.width * image.height > LARGEST_PIXELS:
                    raise UserError(
                        f"{name}: {image.width} x {image.height} pixels are too many; "
                        "make the picture smaller"
                    )
                turned = ImageOps.exif_transpose(image)
                if turned.mode.startswith("I"):  # 16 bits of grey, which Pillow would cut off
                    turned = Image.fromarray((np.asarray(turned) >> 8).astype(np.uint8))
                has_alpha = "A" in turned.getbands() or "transparency" in turned.info
                return turned.convert("RGBA" if has_alpha else "RGB")
    except UserError:
        raise
    except Exception as error:  # damaged pictures raise errors of every kind
        reason = " ".join(str(error).split())[:100]
        kind = "" if "cannot identify" in reason else f" ({type(error).__name__}: {reason})"
        raise UserError(
            f"{name}: damaged or no picture{kind}; expected PNG, JPEG, WebP, GIF, TIFF or BMP"
        ) from None


def _content(path: Path, name: str) -> bytes:
    """A regular file's content; opening a pipe would wait for ever."""
    try:
        if not path.is_file():
            kind = "not there" if not path.exists() else "not a file"
            raise UserError(f"{name}: {kind}, expected a picture")
        if path.stat().st_size > LARGEST_FILE:
            raise UserError(f"{name}: larger than {LARGEST_FILE} bytes, expected a picture")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{name}: cannot be read ({reason})") from None


def on_background(image: Image.Image, color: tuple[int, int, int] = WHITE) -> Image.Image:
    """The picture as RGB, with a colour behind what is transparent."""
    if image.mode != "RGBA":
        return image.convert("RGB")
    ground = Image.new("RGBA", image.size, (*color, 255))
    return Image.alpha_composite(ground, image).convert("RGB")
