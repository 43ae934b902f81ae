"""The one reader of image files: a fixed list of formats, limits before decoding, 8 bits after it.

Whoever opens an image does it here (`tests/test_house.py` holds that), because Pillow by itself
tries every plugin that it has, EPS and with it Ghostscript among them.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

from triform.base.errors import UserError
from triform.base.logging import get_logger
from triform.images.eight_bits import eight_bits
from triform.images.headers import Header

logger = get_logger(__name__)

IMAGE_SUFFIXES = (
    ".avif",
    ".bmp",
    ".gif",
    ".heic",
    ".heif",
    ".jfif",
    ".jpe",
    ".jpeg",
    ".jpg",
    ".pbm",
    ".pgm",
    ".png",
    ".pnm",
    ".ppm",
    ".tga",
    ".tif",
    ".tiff",
    ".webp",
)
# As Pillow names them, but for HEIF, which is another library's; nothing else is ever tried.
KINDS = ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "TIFF", "BMP", "PPM", "TGA", "HEIF")
LARGEST_FILE = 150_000_000
LARGEST_SIDE = 30_000
# Decoded, at 4 bytes each. A JPEG with more is decoded at 1/2, 1/4 or 1/8 of its size.
LARGEST_PIXELS = 50_000_000
LARGEST_ASPECT = 100
# Sides up to this are no strip: what pads or crops them to a square stays small.
SHORT_SIDE = 256
# What longer sides are reduced to where the caller asks for no other size.
LONGEST_SIDE = 4096
# The same for images that are held by the batch; networks look at 224 to 512 pixels.
HELD_SIDE = 1024
# Of the sides of an image that is reduced to what its shorter one needs.
LONGEST_OF_SHORTEST = 4
# A PPM of decimal numbers is read in Python.
LARGEST_PLAIN = 2**24
# The header of a TIFF, and the fewest tags of an image.
SHORTEST_TIFF = 100
WHITE = (255, 255, 255)
# Files that are named by what they are in place of "damaged".
_OTHER_KINDS = {
    b"\xabKTX": "a KTX texture",
    b"DDS ": "a DDS texture",
    b"8BPS": "a Photoshop file",
    b"\0\0\1\0": "an ICO icon",
    b"\x76\x2f\x31\x01": "an OpenEXR image",
    b"#?RADIANCE": "a Radiance HDR image",
    b"\0\0\0\x0cJXL ": "a JPEG XL image",
    b"\xff\x0a": "a JPEG XL image",
    b"\0\0\0\x0cjP  ": "a JPEG 2000 image",
    b"%PDF": "a PDF document",
    b"<svg": "an SVG drawing",
    b"<?xml": "an XML file, perhaps an SVG drawing",
    b"<!DOCTYPE html": "a web page in place of an image",
    b"<html": "a web page in place of an image",
    b"version https://git-lfs": "a pointer of Git LFS in place of an image",
}
# What turns an image upright, by EXIF's number of how the camera was held.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_image(
    source: str | os.PathLike[str] | bytes,
    name: str | None = None,
    *,
    longest: int = LONGEST_SIDE,
    keep_grey: bool = False,
    is_texture: bool = False,
    kinds: Sequence[str] = KINDS,
) -> Image.Image:
    """Read an image as a viewer shows it: turned as its camera said, 8 bits, its first frame.

    16 bits become their upper 8. Whole numbers of 32 bits and fractions are taken for what their
    largest value needs: 1 for fractions, 8, 16, 24 or 32 bits.

    Args:
        source: A file, or its content.
        name: What a complaint calls it; the file's name where not given.
        longest: Pixels of the longest side of the result; what is larger is reduced.
        keep_grey: Return mode L where there is neither colour nor transparency.
        is_texture: Allow strips, which textures of colour ramps are.
        kinds: Formats that are read, of `KINDS`.

    Returns:
        An image of mode RGB, or RGBA where something may be transparent, or L.

    Raises:
        UserError: Not there, too large, damaged, cut off, or no image of a known format.
    """
    name = name or ("image" if isinstance(source, bytes) else str(source))
    data = source if isinstance(source, bytes) else image_content(source, name)
    with _opened(data, name, kinds) as (image, header):
        _warn_of_frames(header, name)
        _check_size(image, header, name, is_texture=is_texture)
        _draft(image, header, max(image.size) // longest, name)
        return _upright(image, header, longest, keep_grey=keep_grey)


def decoding_size(data: bytes, name: str) -> int:
    """Pixels that a decoder of this image goes through, from its header.

    Raises:
        UserError: No image, or one too large to be read.
    """
    with _opened(data, name, KINDS) as (image, header):
        _check_size(image, header, name, is_texture=True)
        width, height = image.size
        return int(width * height)


@dataclass(frozen=True)
class ImageProperties:
    """What the header of an image says.

    Attributes:
        kind: Format, of `KINDS`.
        width: Pixels, of the image as a viewer shows it.
        height: Likewise.
        taken: When it was taken, as YYYY-MM-DDTHH:MM:SS in the camera's time; "" if unknown.
    """

    kind: str
    width: int
    height: int
    taken: str


def read_photo_image(
    data: bytes, name: str, *, shortest: int
) -> tuple[Image.Image, ImageProperties]:
    """Read an image no larger than a network needs it, and its header, in one pass.

    It is reduced by a power of two, which the decoder of a JPEG does by itself.

    Args:
        data: Content of the file.
        name: What a complaint calls it.
        shortest: Pixels of the shorter side that are enough; what has fewer keeps its size. The
            longer side has at most `LONGEST_OF_SHORTEST` times as many.

    Returns:
        The image as `read_image` has it, and what the header says.

    Raises:
        UserError: As `read_image`.
    """
    with _opened(data, name, KINDS) as (image, header):
        _warn_of_frames(header, name)
        _check_size(image, header, name, is_texture=False)
        width, height = image.size
        reduction = 1 << (max(1, min(image.size) // shortest).bit_length() - 1)
        longest = min(-(-max(image.size) // reduction), LONGEST_OF_SHORTEST * shortest)
        _draft(image, header, reduction, name)
        if _orientation(image, header) >= 5:
            width, height = height, width
        properties = ImageProperties(header.kind, width, height, header.taken)
        return _upright(image, header, longest, keep_grey=False), properties


def read_depth_map(data: bytes, name: str) -> np.ndarray:
    """The numbers of a grey PNG of 16 bits as they are, (H, W).

    Raises:
        UserError: Damaged, too large, or another kind of image.
    """
    with _opened(data, name, ("PNG",)) as (image, header):
        _check_size(image, header, name, is_texture=False)
        if not image.mode.startswith("I"):
            raise ValueError(f"its mode is {image.mode}, expected 16-bit grey")
        return np.asarray(image)


@contextlib.contextmanager
def _opened(data: bytes, name: str, kinds: Sequence[str]) -> Iterator[tuple[Image.Image, Header]]:
    """An image of which only the header has been read; what is raised of it is one line."""
    with _damage(name, kinds):
        header = _header(data, name, kinds)
        with _open(data, header, name) as image:
            yield image, header


@contextlib.contextmanager
def _damage(name: str, kinds: Sequence[str]) -> Iterator[None]:
    """Turn whatever Pillow raises into one line, and keep what it warns of to itself."""
    expected = f"expected {', '.join(kinds)}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is refused or harmless here
            yield
    except UserError:
        raise
    except (Image.DecompressionBombError, MemoryError):
        raise UserError(f"{name}: too many pixels; make the image smaller") from None
    except Exception as error:  # damaged images raise errors of every kind
        reason = "".join(c if c.isprintable() else " " for c in str(error)).partition("<")[0]
        reason = " ".join(reason.split())[:100]
        raise UserError(
            f"{name}: damaged or no image ({type(error).__name__}: {reason}); {expected}"
        ) from None


def _warn_of_frames(header: Header, name: str) -> None:
    if header.has_more:
        logger.warning("%s: has several frames or pages; the first one is used", name)


def _header(data: bytes, name: str, kinds: Sequence[str]) -> Header:
    if not data:
        raise UserError(f"{name}: the file is empty, expected an image")
    header = Header(data, is_tga=name.lower().endswith(".tga"))
    if other := next((kind for start, kind in _OTHER_KINDS.items() if data.startswith(start)), ""):
        raise UserError(f"{name}: {other}, which is not read; save it as PNG or JPEG")
    if header.kind not in kinds:
        raise UserError(f"{name}: damaged or no image; expected {', '.join(kinds)}")
    return header


def on_background(image: Image.Image, color: tuple[int, int, int] = WHITE) -> Image.Image:
    """The image as RGB, with a colour behind what is transparent; itself where it is RGB."""
    if image.mode != "RGBA":
        return image if image.mode == "RGB" else image.convert("RGB")
    ground = Image.new("RGBA", image.size, (*color, 255))
    return Image.alpha_composite(ground, image).convert("RGB")


def image_content(source: str | os.PathLike[str], name: str) -> bytes:
    """A regular file's content; opening a pipe would wait for ever.

    Raises:
        UserError: Not there, no file, or too large for an image.
    """
    try:
        if not stat.S_ISREG(os.stat(source).st_mode):
            raise UserError(f"{name}: not a file, expected an image")
        with open(source, "rb") as file:
            # Memory is taken for what is asked for, whatever the file has.
            data = file.read(min(os.fstat(file.fileno()).st_size, LARGEST_FILE) + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{name}: not there, expected an image") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{name}: cannot be read ({reason})") from None
    if len(data) > LARGEST_FILE:
        raise UserError(f"{name}: larger than {LARGEST_FILE} bytes, expected an image")
    return data


def _open(data: bytes, header: Header, name: str) -> Image.Image:
    """The image, of which only the header has been read."""
    if header.kind != "HEIF":
        if header.kind == "PPM" and data[1:2] in b"123" and len(data) > LARGEST_PLAIN:
            raise UserError(f"{name}: decimal numbers of {len(data)} bytes; save it as PNG")
        if header.kind == "WEBP" and data[12:16] == b"VP8X":
            # Pillow makes room for the canvas as soon as it opens the file.
            width, height = (1 + int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
            _check_pixels(width, height, LARGEST_PIXELS, name)
        try:
            return Image.open(io.BytesIO(data), formats=(header.kind,))
        except UnidentifiedImageError:
            if header.kind != "TIFF" or len(data) < SHORTEST_TIFF:
                raise
            raise UserError(
                f"{name}: a TIFF of a kind that is not read (such as colours in fractions, or "
                "fractions of 16 or 64 bits), or damaged; save it with 8 or 16 bits"
            ) from None
    try:
        import pillow_heif
    except ImportError:
        raise UserError(
            f"{name}: HEIC is read with `pip install triform[heic]`; or save it as JPEG"
        ) from None
    found = pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=True)
    width, height = found.size
    _check_pixels(width, height, LARGEST_PIXELS, name)
    image: Image.Image = found.to_pillow()  # the library has turned it already
    return image


def _check_size(image: Image.Image, header: Header, name: str, *, is_texture: bool) -> None:
    """The header says how much memory the rest will ask for."""
    width, height = image.size
    limit = LARGEST_PIXELS
    if image.mode in ("I", "F"):  # four bytes each, of which others are made
        limit //= 2
    if header.kind == "JPEG" and not image.info.get("progressive"):
        limit *= 64
    _check_pixels(width, height, limit, name)
    if header.tags is not None and header.tags.tile_pixels > LARGEST_PIXELS:
        raise UserError(f"{name}: tiles of {header.tags.tile_pixels} pixels are too large")
    long, short = max(width, height), max(1, min(width, height))
    if long > SHORT_SIDE and long > LARGEST_ASPECT * short and not is_texture:
        raise UserError(
            f"{name}: {width} x {height} pixels, more than {LARGEST_ASPECT} times as long as wide; "
            "cut it to what it shows"
        )


def _check_pixels(width: int, height: int, limit: int, name: str) -> None:
    if max(width, height) > LARGEST_SIDE or width * height > limit:
        raise UserError(
            f"{name}: {width} x {height} pixels are too many, at most {limit} are read; "
            "make the image smaller"
        )


def _draft(image: Image.Image, header: Header, reduction: int, name: str) -> None:
    """Let a JPEG be decoded at a fraction of its size where no more is wanted or possible."""
    if header.kind != "JPEG":
        return
    width, height = image.size
    scale = 1
    while scale < 8 and (
        2 * scale <= reduction or (width // scale) * (height // scale) > LARGEST_PIXELS
    ):
        scale *= 2
    if scale > 1:
        image.draft(None, (max(1, width // scale), max(1, height // scale)))
    _check_pixels(image.width, image.height, LARGEST_PIXELS, name)


def _orientation(image: Image.Image, header: Header) -> int:
    """1 to 8, as EXIF numbers the ways to hold a camera."""
    return image.getexif().get(274, 1) if header.kind == "AVIF" else header.orientation


def _upright(image: Image.Image, header: Header, longest: int, *, keep_grey: bool) -> Image.Image:
    """Decode, bring to 8 bits, reduce, turn."""
    image.load()
    orientation = _orientation(image, header)
    if image.mode[:1] in "IF":
        image = eight_bits(image, header)
    has_alpha = image.mode[-1:] in "Aa" or "transparency" in image.info
    if image.mode in ("La", "RGBa"):  # colours that are multiplied by their alpha
        image = image.convert(image.mode.upper())
    mode = "RGBA" if has_alpha else "L" if keep_grey and image.mode in ("1", "L") else "RGB"
    if image.mode in ("1", "P", "PA") or "transparency" in image.info:
        image = image.convert(mode)  # numbers of colours cannot be averaged
    if max(image.size) > longest:
        scale = longest / max(image.size)
        width, height = (max(1, round(side * scale)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=2.0)
    turn = _TURNS.get(orientation)
    image = image if turn is None else image.transpose(turn)
    # Neither Pillow's link to the file nor what else the file says goes further.
    return image if type(image) is Image.Image and image.mode == mode else image.convert(mode)
