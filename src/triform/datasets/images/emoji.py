"""Emoji: 1,900 emoji drawn by several makers, with names and tags.

A class is an emoji, its images are the drawings of the makers, as the drawers of Omniglot.
Drawings are SVG files of npm packages, names and tags are in the table of OpenMoji. Three makers
draw only flags.
"""

from __future__ import annotations

import csv
import hashlib
import io
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from triform.base.errors import UserError
from triform.base.files import atomic_write
from triform.base.paths import cache_dir
from triform.base.progress import progress_bar
from triform.datasets import npm
from triform.datasets.images.emoji_drawings import Icons, hexcodes_by_name, key, read_openmoji
from triform.datasets.images.table import ImageTable

with Path(__file__).with_name("emoji_packages.csv").open(encoding="utf-8", newline="") as _stream:
    SOURCES = {row.pop("maker"): npm.Package(**row) for row in csv.DictReader(_stream)}
"""Maker -> npm package of its drawings."""
FLAGS = ("circle flags", "flag icons", "flagpack")
"""Makers of flags only, which are named by country."""
LICENCE = (
    "openmoji CC BY-SA 4.0; twemoji, emojione, streamline CC BY 4.0; emojione v1 CC BY-SA 4.0; "
    "noto, noto v1, fxemoji Apache-2.0; fluent, fluent shaded, circle flags, flag icons, "
    "flagpack MIT"
)
DEFAULT_SIZE = 64
# The maker whose drawings are never used for training; its style is the most widespread one.
UNSEEN_MAKER = "twemoji"
_VAL_SHARE, _TEST_SHARE = 0.1, 0.2
_TABLE = Path("data") / "openmoji.csv"
_VERSION = 1


def fetch(folder: Path) -> None:
    """Download all packages into sub-folders of a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, package in progress_bar(
        SOURCES.items(), desc="emoji", total=len(SOURCES), unit="package"
    ):
        npm.fetch(package, folder / name)


def load(folder: Path, size: int | None = None) -> ImageTable:
    """Read a folder of `fetch`; drawings are rasterised once per size and cached.

    Args:
        folder: filled by `fetch`.
        size: rows and columns; 64 by default.

    Returns:
        Images with 4 channels. Split "test" has all drawings of `UNSEEN_MAKER`; class splits are
        by emoji.

    Raises:
        UserError: a file is missing or damaged.
    """
    size = size or DEFAULT_SIZE
    try:
        table = _read_table(folder / "openmoji" / "package" / _TABLE)
        drawings = _read_drawings(
            folder, {entry["hexcode"]: entry["annotation"] for entry in table}
        )
    except (OSError, ValueError, KeyError) as error:
        raise _damaged(folder, error) from None
    rows = [
        (maker, label, drawings[name][entry["hexcode"]])
        for maker, name in enumerate(SOURCES)
        for label, entry in enumerate(table)
        if entry["hexcode"] in drawings[name]
    ]
    makers = np.array([row[0] for row in rows])
    labels = np.array([row[1] for row in rows])
    names = tuple(entry["annotation"] for entry in table)
    unseen = list(SOURCES).index(UNSEEN_MAKER)
    hashes = np.array([zlib.crc32(name.encode()) / 2**32 for name in names])
    return ImageTable(
        name="emoji",
        images=_rasterize([svg for *_, svg in rows], size),
        labels=labels,
        classes=names,
        makers=makers,
        maker_names=tuple(SOURCES),
        splits={"train": np.nonzero(makers != unseen)[0], "test": np.nonzero(makers == unseen)[0]},
        class_splits={
            "train": np.nonzero(hashes >= _VAL_SHARE + _TEST_SHARE)[0],
            "val": np.nonzero(hashes < _VAL_SHARE)[0],
            "test": np.nonzero((hashes >= _VAL_SHARE) & (hashes < _VAL_SHARE + _TEST_SHARE))[0],
        },
        captions=tuple(tuple(_captions(entry)) for entry in table),
        licence=LICENCE,
    )


def emoji_names(folder: Path) -> dict[str, str]:
    """Names by code points of all emoji in a folder of `fetch`.

    Raises:
        UserError: The table is missing or damaged.
    """
    try:
        rows = _read_table(folder / "openmoji" / "package" / _TABLE)
        return {entry["hexcode"]: entry["annotation"] for entry in rows}
    except (OSError, ValueError, KeyError) as error:
        raise _damaged(folder, error) from None


def _damaged(folder: Path, error: Exception) -> UserError:
    return UserError(
        f"{folder}: incomplete or damaged ({error}); "
        "remove the folder and run `triform data get emoji`"
    )


def _read_table(path: Path) -> list[dict[str, str]]:
    """One row per emoji: without skin tones, and the first of each name."""
    entries: dict[str, dict[str, str]] = {}
    with path.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            if row["skintone"] or row["group"].startswith("extras") or row["group"] == "component":
                continue
            entries.setdefault(row["annotation"], {**row, "hexcode": key(row["hexcode"])})
    if not entries:
        raise ValueError(f"{path.name} holds no rows")
    return list(entries.values())


def _captions(entry: dict[str, str]) -> Iterator[str]:
    """The name, then every other tag."""
    tags = f"{entry['tags']}, {entry['openmoji_tags']}".split(",")
    yield from dict.fromkeys([entry["annotation"], *filter(None, map(str.strip, tags))])


def _read_drawings(folder: Path, emoji_names: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """SVG texts by maker and code point."""
    icon_sets = {name: Icons(folder / name / "package") for name in SOURCES if name != "openmoji"}
    hexcode_of_name = hexcodes_by_name(emoji_names, list(icon_sets.values()))
    return {
        name: read_openmoji(folder / name / "package")
        if name == "openmoji"
        else icon_sets[name].flags()
        if name in FLAGS
        else icon_sets[name].drawings(hexcode_of_name)
        for name in SOURCES
    }


def _rasterize(drawings: list[str], size: int) -> np.ndarray:
    """Rasterise SVG texts to (N, size, size, 4) uint8 with straight alpha."""
    import resvg_py

    digest = hashlib.sha256(f"{_VERSION} {size} {len(drawings)}".encode())
    for svg in drawings:
        digest.update(svg.encode())
    cached = cache_dir() / "images" / f"emoji-{size}-{digest.hexdigest()[:16]}.npy"
    if cached.is_file():
        stored: np.ndarray = np.load(cached, mmap_mode="r", allow_pickle=False)
        return stored
    images = np.zeros((len(drawings), size, size, 4), np.uint8)
    bar = progress_bar(drawings, desc="drawing emoji", unit="drawing")
    for row, svg in enumerate(bar):
        data = resvg_py.svg_to_bytes(
            svg_string=svg, width=size, height=size, skip_system_fonts=True
        )
        image = Image.open(io.BytesIO(bytes(data)), formats=("PNG",)).convert("RGBA")
        image.thumbnail((size, size))  # rounding may have made it a row too high
        pixels = np.asarray(image)
        height, width = pixels.shape[:2]  # a drawing that is not square keeps its aspect ratio
        top, left = (size - height) // 2, (size - width) // 2
        images[row, top : top + height, left : left + width] = pixels
    with atomic_write(cached) as stream:
        np.save(stream, images)
    return images
