"""Glyphs: 1,900 characters in up to 16 typefaces, an Omniglot that needs no download.

The typefaces are those that matplotlib brings along. A class is a character, its pictures are its
forms; classes are split by script, and characters that look alike to the pixel count once.
"""

from __future__ import annotations

import hashlib
import unicodedata
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from triform.base.files import atomic_write
from triform.base.paths import cache_dir
from triform.datasets.pictures.table import PictureTable

FACES = tuple(
    f"{family}{style}"
    for family, styles in {
        "DejaVuSans": ("", "-Bold", "-Oblique", "-BoldOblique"),
        "DejaVuSansMono": ("", "-Bold", "-Oblique", "-BoldOblique"),
        "DejaVuSerif": ("", "-Bold", "-Italic", "-BoldItalic"),
        "STIXGeneral": ("", "Bol", "Italic", "BolIta"),
    }.items()
    for style in styles
)
DEFAULT_SIZE = 28
FEWEST_FACES = 8
LICENCE = "Bitstream Vera and Arev (DejaVu), STIX font licence: free to use and to embed"
_CATEGORIES = ("Lu", "Ll", "Lo", "Nd", "Sm", "Sc", "So", "Po", "Ps", "Pe")
# One em in pictures: large and small letters stay large and small.
_EM = 0.78
# Drawn finer and averaged: the outline's place within a pixel then does not matter.
_FINER = 4
_VERSION = 2
# Ranges of code points; what is in neither list is trained on.
_VAL_BLOCKS = ((0x250, 0x2B0), (0x2190, 0x2200), (0x25A0, 0x2600), (0x27F0, 0x2800))
_TEST_BLOCKS = (
    (0x370, 0x400), (0x530, 0x590), (0x10A0, 0x1100), (0x2100, 0x2150), (0x2200, 0x2300),
    (0x2A00, 0x2B00),
)  # fmt: skip


def load(size: int | None = None) -> PictureTable:
    """Draws the characters, once per size; afterwards they come from the cache.

    Args:
        size: rows and columns; 28 by default.

    Returns:
        Grey pictures, white ink on black. Class splits are by script: Latin, Cyrillic and signs
        are trained on, phonetic letters, arrows and geometric forms are for validation, Greek,
        Armenian, Georgian, letterlike and mathematical signs for the test.
    """
    size = size or DEFAULT_SIZE
    kept = cache_dir() / "pictures" / f"glyphs-{size}-{_VERSION}-{_faces_digest()}.npz"
    if not kept.is_file():
        images, codes, faces = _draw_all(size)
        with atomic_write(kept) as stream:
            np.savez_compressed(stream, images=images, codes=codes, faces=faces)
    with np.load(kept, allow_pickle=False) as stored:
        images, codes, faces = stored["images"], stored["codes"], stored["faces"]
    classes, labels = np.unique(codes, return_inverse=True)
    split = np.array([_split(int(code)) for code in classes])
    return PictureTable(
        name="glyphs",
        images=images[..., None],
        labels=labels.astype(np.int64),
        classes=tuple(chr(code) for code in classes),
        makers=faces.astype(np.int64),
        maker_names=FACES,
        splits={name: np.nonzero(split[labels] == name)[0] for name in ("train", "val", "test")},
        class_splits={name: np.nonzero(split == name)[0] for name in ("train", "val", "test")},
        captions=tuple((unicodedata.name(chr(code), "sign").lower(),) for code in classes),
        licence=LICENCE,
    )


def _split(code: int) -> str:
    for name, blocks in (("test", _TEST_BLOCKS), ("val", _VAL_BLOCKS)):
        if any(low <= code < high for low, high in blocks):
            return name
    return "train"


def _is_wanted(code: int) -> bool:
    """Letters, decimal digits, signs; nothing that is a pattern or repeats another in small."""
    pattern = 0x2500 <= code < 0x25A0 or 0x2800 <= code < 0x2900
    category = unicodedata.category(chr(code))
    return (
        not pattern
        and category in _CATEGORIES
        and not unicodedata.decomposition(chr(code)).startswith("<")
    )


def _font_folder() -> Path:
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf"


def _faces_digest() -> str:
    """Changes when matplotlib brings other versions of the typefaces."""
    sizes = [(_font_folder() / f"{face}.ttf").stat().st_size for face in FACES]
    return hashlib.sha256(repr(sizes).encode()).hexdigest()[:12]


def _draw_all(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N, size, size) pictures with their code points and faces."""
    from fontTools.ttLib import TTFont

    covered: dict[int, list[int]] = {}
    for number, face in enumerate(FACES):
        with TTFont(_font_folder() / f"{face}.ttf", lazy=True) as font:
            for code in font.getBestCmap():
                if _is_wanted(code):
                    covered.setdefault(code, []).append(number)
    em = round(_EM * size * _FINER)
    fonts = [ImageFont.truetype(_font_folder() / f"{face}.ttf", em) for face in FACES]
    images, codes, faces = [], [], []
    seen: set[bytes] = set()
    for code, numbers in sorted(covered.items()):
        if len(numbers) < FEWEST_FACES:
            continue
        pictures = [(number, _draw(chr(code), fonts[number], size)) for number in numbers]
        drawn = [(number, picture) for number, picture in pictures if picture is not None]
        # Latin A, Greek Alpha and Cyrillic A are one class; one face in common shows it.
        marks = {bytes([number]) + picture.tobytes() for number, picture in drawn}
        if len(drawn) < FEWEST_FACES or marks & seen:
            continue
        seen |= marks
        for number, picture in drawn:
            images.append(picture)
            codes.append(code)
            faces.append(number)
    return np.stack(images), np.array(codes), np.array(faces)


def _draw(character: str, font: ImageFont.FreeTypeFont, size: int) -> np.ndarray | None:
    """One character, its ink in the middle of the picture; None where there is no ink."""
    ink = Image.new("L", (4 * size * _FINER,) * 2)
    ImageDraw.Draw(ink).text((size * _FINER,) * 2, character, fill=255, font=font)
    box = ink.getbbox()
    if box is None:
        return None
    ink = ink.crop(box)
    side = size * _FINER
    if max(ink.size) > side:  # very wide ones are made to fit
        ink.thumbnail((side, side), Image.Resampling.BOX)
    canvas = Image.new("L", (side, side))
    canvas.paste(ink, ((side - ink.width) // 2, (side - ink.height) // 2))
    return np.asarray(canvas.resize((size, size), Image.Resampling.BOX))
