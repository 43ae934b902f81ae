"""Emoji: the same 1,900 things drawn by several makers, with names and tags.

The makers play the part of Omniglot's drawers: a class is a thing, its pictures are its drawings.
Drawings come from packages of npm as SVG, names and tags from OpenMoji's table. Three makers draw
flags alone.
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
from tqdm import tqdm

from triform.base.errors import UserError
from triform.base.files import atomic_write
from triform.base.paths import cache_dir
from triform.datasets import npm
from triform.datasets.pictures.emoji_drawings import Icons, key, known_names, read_openmoji
from triform.datasets.pictures.table import PictureTable

SOURCES = {
    "openmoji": npm.Package(
        "openmoji", "17.0.0",
        "55ee7d13485dec86e9f38c1f3a645a13382d33ff97c0cd845ee824b0aef45e68",
    ),
    "twemoji": npm.Package(
        "@iconify-json/twemoji", "1.2.5",
        "19046dff7d8707ce96212ec86468b36ac5f8e60409629dd13f809265c6d0ebb7",
    ),
    "noto": npm.Package(
        "@iconify-json/noto", "1.2.9",
        "3e918d88fc945c0bb3d468dbace6f88caef67f01c9f0e7bcae0915a042e8f1ad",
    ),
    "fluent": npm.Package(
        "@iconify-json/fluent-emoji-flat", "1.2.6",
        "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175",
    ),
    "emojione": npm.Package(
        "@iconify-json/emojione", "1.2.3",
        "26a14f44284407e8bcde91799388dca2bfd91dbcd55a97f425524a1c5b73610e",
    ),
    "fxemoji": npm.Package(
        "@iconify-json/fxemoji", "1.2.2",
        "f3e72b3c59d05e1db03b7e308d55c0d05bd7ba3f625a90da1b79313c12858eef",
    ),
    "noto v1": npm.Package(
        "@iconify-json/noto-v1", "1.2.5",
        "2bf62c26c2c2884aa99e90aec942cdaee17a5921f05690694f4978ad4b017c37",
    ),
    "fluent shaded": npm.Package(
        "@iconify-json/fluent-emoji", "1.2.7",
        "8044210dbf11e016d4de85f15d01a243423bd832457e7e2491df1b751c0e272b",
    ),
    "emojione v1": npm.Package(
        "@iconify-json/emojione-v1", "1.2.3",
        "6641d59d48a42823fdc2b84e7427e9f302944eb98d2c7d94d6e67c139e7b37b3",
    ),
    "streamline": npm.Package(
        "@iconify-json/streamline-emojis", "1.2.4",
        "5dac87c876b322500989828c5823143e0100d78881627a2e4081a4b897cbfdbc",
    ),
    "circle flags": npm.Package(
        "@iconify-json/circle-flags", "1.2.11",
        "ee9a03f6a6fdd79cc6325bdcb7bb93b83d331e60b16e226188f154a64b6bb4a9",
    ),
    "flag icons": npm.Package(
        "@iconify-json/flag", "1.2.12",
        "42246bc20f6154739a192172d71ffe477747ad38278f2e912ec43f4dcb5a15e0",
    ),
    "flagpack": npm.Package(
        "@iconify-json/flagpack", "1.2.8",
        "165ea189ef6ee00b8c10d66c0a2702a6afe1d89d7feafdc3a02a459d65580483",
    ),
}  # fmt: skip
FLAGS = ("circle flags", "flag icons", "flagpack")
"""Sets that name flags by country, and hold nothing else."""
LICENCE = (
    "openmoji CC BY-SA 4.0; twemoji, emojione, streamline CC BY 4.0; emojione v1 CC BY-SA 4.0; "
    "noto, noto v1, fxemoji Apache-2.0; fluent, fluent shaded, circle flags, flag icons, "
    "flagpack MIT"
)
DEFAULT_SIZE = 64
# The maker whose drawings are never trained on; its style is the one met most outside.
UNSEEN_MAKER = "twemoji"
_VAL_SHARE, _TEST_SHARE = 0.1, 0.2
_TABLE = Path("data") / "openmoji.csv"
_VERSION = 1


def fetch(folder: Path) -> None:
    """Brings all packages into sub-folders of a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, package in tqdm(SOURCES.items(), desc="emoji", unit="package", disable=None):
        npm.fetch(package, folder / name)


def load(folder: Path, size: int | None = None) -> PictureTable:
    """Reads what `fetch` has brought; drawings are drawn once per size and kept in the cache.

    Args:
        folder: made by `fetch`.
        size: rows and columns; 64 by default.

    Returns:
        Pictures with 4 channels. Split "test" holds all drawings of `UNSEEN_MAKER`; class splits
        keep the things themselves apart.

    Raises:
        UserError: a file is missing or damaged.
    """
    size = size or DEFAULT_SIZE
    try:
        table = _read_table(folder / "openmoji" / "package" / _TABLE)
        drawings = _read_drawings(
            folder, {thing["hexcode"]: thing["annotation"] for thing in table}
        )
    except (OSError, ValueError, KeyError) as error:
        raise _damaged(folder, error) from None
    rows = [
        (maker, label, drawings[name][thing["hexcode"]])
        for maker, name in enumerate(SOURCES)
        for label, thing in enumerate(table)
        if thing["hexcode"] in drawings[name]
    ]
    makers = np.array([row[0] for row in rows])
    labels = np.array([row[1] for row in rows])
    names = tuple(thing["annotation"] for thing in table)
    unseen = list(SOURCES).index(UNSEEN_MAKER)
    shares = np.array([zlib.crc32(name.encode()) / 2**32 for name in names])
    return PictureTable(
        name="emoji",
        images=_draw([svg for *_, svg in rows], size),
        labels=labels,
        classes=names,
        makers=makers,
        maker_names=tuple(SOURCES),
        splits={"train": np.nonzero(makers != unseen)[0], "test": np.nonzero(makers == unseen)[0]},
        class_splits={
            "train": np.nonzero(shares >= _VAL_SHARE + _TEST_SHARE)[0],
            "val": np.nonzero(shares < _VAL_SHARE)[0],
            "test": np.nonzero((shares >= _VAL_SHARE) & (shares < _VAL_SHARE + _TEST_SHARE))[0],
        },
        captions=tuple(tuple(_captions(thing)) for thing in table),
        licence=LICENCE,
    )


def things(folder: Path) -> dict[str, str]:
    """Names by code points of all things in a folder made by `fetch`.

    Raises:
        UserError: The table is missing or damaged.
    """
    try:
        rows = _read_table(folder / "openmoji" / "package" / _TABLE)
        return {thing["hexcode"]: thing["annotation"] for thing in rows}
    except (OSError, ValueError, KeyError) as error:
        raise _damaged(folder, error) from None


def _damaged(folder: Path, error: Exception) -> UserError:
    return UserError(
        f"{folder}: incomplete or damaged ({error}); "
        "remove the folder and run `triform data get emoji`"
    )


def _read_table(path: Path) -> list[dict[str, str]]:
    """One row per thing: without skin tones, and the first of each name."""
    found: dict[str, dict[str, str]] = {}
    with path.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            if row["skintone"] or row["group"].startswith("extras") or row["group"] == "component":
                continue
            found.setdefault(row["annotation"], {**row, "hexcode": key(row["hexcode"])})
    if not found:
        raise ValueError(f"{path.name} holds no rows")
    return list(found.values())


def _captions(thing: dict[str, str]) -> Iterator[str]:
    """The name first, then every tag that says something else."""
    tags = f"{thing['tags']}, {thing['openmoji_tags']}".split(",")
    yield from dict.fromkeys([thing["annotation"], *filter(None, map(str.strip, tags))])


def _read_drawings(folder: Path, things: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """SVG texts by maker and code point."""
    sets = {name: Icons(folder / name / "package") for name in SOURCES if name != "openmoji"}
    known = known_names(things, list(sets.values()))
    return {
        name: read_openmoji(folder / name / "package") if name == "openmoji"
        else sets[name].flags() if name in FLAGS
        else sets[name].drawings(known)
        for name in SOURCES
    }  # fmt: skip


def _draw(drawings: list[str], size: int) -> np.ndarray:
    """Draws SVG texts to (N, size, size, 4) uint8 with straight alpha."""
    import resvg_py

    digest = hashlib.sha256(f"{_VERSION} {size} {len(drawings)}".encode())
    for svg in drawings:
        digest.update(svg.encode())
    kept = cache_dir() / "pictures" / f"emoji-{size}-{digest.hexdigest()[:16]}.npy"
    if kept.is_file():
        return np.load(kept, mmap_mode="r", allow_pickle=False)
    pictures = np.zeros((len(drawings), size, size, 4), np.uint8)
    bar = tqdm(drawings, desc="drawing emoji", unit="picture", disable=None, leave=False)
    for row, svg in enumerate(bar):
        data = resvg_py.svg_to_bytes(
            svg_string=svg, width=size, height=size, skip_system_fonts=True
        )
        image = Image.open(io.BytesIO(bytes(data)), formats=("PNG",)).convert("RGBA")
        image.thumbnail((size, size))  # rounding may have made it a row too high
        picture = np.asarray(image)
        height, width = picture.shape[:2]  # a drawing that is no square keeps its proportions
        top, left = (size - height) // 2, (size - width) // 2
        pictures[row, top : top + height, left : left + width] = picture
    with atomic_write(kept) as stream:
        np.save(stream, pictures)
    return pictures
