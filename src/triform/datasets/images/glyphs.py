"""Glyphs: 1,900 characters in up to 16 typefaces, similar to Omniglot without a download.

The typefaces are those of matplotlib. A class is a character, its images are its glyphs in the
typefaces; classes are split by script, and of characters with equal glyphs only one is used.
"""

from __future__ import annotations

import hashlib
import unicodedata
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from triform.base.files import atomic_write
from triform.base.paths import cache_dir
from triform.datasets.images.table import ImageTable

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
MIN_FACES = 8
LICENCE = "Bitstream Vera and Arev (DejaVu), STIX font licence: free to use and to embed"
_CATEGORIES = ("Lu", "Ll", "Lo", "Nd", "Sm", "Sc", "So", "Po", "Ps", "Pe")
# Size of an em in image sizes: capitals stay larger than small letters.
_EM = 0.78
# Glyphs are drawn at a higher resolution and averaged.
_SUPERSAMPLING = 4
_VERSION = 2
# Ranges of code points; all others are for training.
_VAL_BLOCKS = ((0x250, 0x2B0), (0x2190, 0x2200), (0x25A0, 0x2600), (0x27F0, 0x2800))
_TEST_BLOCKS = (
    (0x370, 0x400),
    (0x530, 0x590),
    (0x10A0, 0x1100),
    (0x2100, 0x2150),
    (0x2200, 0x2300),
    (0x2A00, 0x2B00),
)


def load(size: int | None = None) -> ImageTable:
    """Load the glyphs; drawn once per size and then read from the cache.

    Args:
        size: rows and columns; 28 by default.

    Returns:
        Grey images, white on black. Class splits are by script: Latin, Cyrillic and symbols for
        training, phonetic letters, arrows and geometric shapes for validation, Greek, Armenian,
        Georgian, letterlike and mathematical symbols for the test.
    """
    size = size or DEFAULT_SIZE
    cached = cache_dir() / "images" / f"glyphs-{size}-{_VERSION}-{_faces_digest()}.npz"
    if not cached.is_file():
        images, code_points, faces = _draw_all(size)
        with atomic_write(cached) as stream:
            np.savez_compressed(stream, images=images, codes=code_points, faces=faces)
    with np.load(cached, allow_pickle=False) as stored:
        images, code_points, faces = stored["images"], stored["codes"], stored["faces"]
    classes, labels = np.unique(code_points, return_inverse=True)
    split = np.array([_split(int(code_point)) for code_point in classes])
    return ImageTable(
        name="glyphs",
        images=images[..., None],
        labels=labels.astype(np.int64),
        classes=tuple(chr(code_point) for code_point in classes),
        makers=faces.astype(np.int64),
        maker_names=FACES,
        splits={name: np.nonzero(split[labels] == name)[0] for name in ("train", "val", "test")},
        class_splits={name: np.nonzero(split == name)[0] for name in ("train", "val", "test")},
        captions=tuple(
            (unicodedata.name(chr(code_point), "sign").lower(),) for code_point in classes
        ),
        licence=LICENCE,
    )


def _split(code_point: int) -> str:
    for name, blocks in (("test", _TEST_BLOCKS), ("val", _VAL_BLOCKS)):
        if any(low <= code_point < high for low, high in blocks):
            return name
    return "train"


def _is_included(code_point: int) -> bool:
    """Letters, decimal digits and symbols; no patterns, no small variants of other characters."""
    pattern = 0x2500 <= code_point < 0x25A0 or 0x2800 <= code_point < 0x2900
    category = unicodedata.category(chr(code_point))
    return (
        not pattern
        and category in _CATEGORIES
        and not unicodedata.decomposition(chr(code_point)).startswith("<")
    )


def _font_folder() -> Path:
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf"


def _faces_digest() -> str:
    """Digest of the typefaces: changes with their version in matplotlib."""
    sizes = [(_font_folder() / f"{face}.ttf").stat().st_size for face in FACES]
    return hashlib.sha256(repr(sizes).encode()).hexdigest()[:12]


def _draw_all(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images (N, size, size) with their code points and typefaces."""
    from fontTools.ttLib import TTFont

    covered: dict[int, list[int]] = {}
    for face, name in enumerate(FACES):
        with TTFont(_font_folder() / f"{name}.ttf", lazy=True) as font:
            for code_point in font.getBestCmap():
                if _is_included(code_point):
                    covered.setdefault(code_point, []).append(face)
    em = round(_EM * size * _SUPERSAMPLING)
    fonts = [ImageFont.truetype(_font_folder() / f"{name}.ttf", em) for name in FACES]
    images, code_points, faces = [], [], []
    used: set[bytes] = set()
    for code_point, face_indices in sorted(covered.items()):
        if len(face_indices) < MIN_FACES:
            continue
        candidates = [(face, _draw(chr(code_point), fonts[face], size)) for face in face_indices]
        glyphs = [(face, image) for face, image in candidates if image is not None]
        # Latin A, Greek Alpha and Cyrillic A are one class: equal in at least one typeface.
        signatures = {bytes([face]) + image.tobytes() for face, image in glyphs}
        if len(glyphs) < MIN_FACES or signatures & used:
            continue
        used |= signatures
        for face, image in glyphs:
            images.append(image)
            code_points.append(code_point)
            faces.append(face)
    return np.stack(images), np.array(code_points), np.array(faces)


def _draw(character: str, font: ImageFont.FreeTypeFont, size: int) -> np.ndarray | None:
    """Image of a character, centered; None if it is blank."""
    ink = Image.new("L", (4 * size * _SUPERSAMPLING,) * 2)
    ImageDraw.Draw(ink).text((size * _SUPERSAMPLING,) * 2, character, fill=255, font=font)
    box = ink.getbbox()
    if box is None:
        return None
    ink = ink.crop(box)
    side = size * _SUPERSAMPLING
    if max(ink.size) > side:  # very wide ones are scaled down
        ink.thumbnail((side, side), Image.Resampling.BOX)
    canvas = Image.new("L", (side, side))
    canvas.paste(ink, ((side - ink.width) // 2, (side - ink.height) // 2))
    return np.asarray(canvas.resize((size, size), Image.Resampling.BOX))
