"""Emoji: the same 2,400 things drawn by several makers, with names and tags.

The makers play the part of Omniglot's drawers: a class is a thing, its pictures are its drawings.
Drawings come from packages of npm as SVG, names and tags from OpenMoji's table.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from triform.base.errors import UserError
from triform.base.files import atomic_write
from triform.base.paths import cache_dir
from triform.datasets import npm
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
}  # fmt: skip
LICENCE = "openmoji CC BY-SA 4.0; twemoji, emojione CC BY 4.0; noto, fxemoji Apache-2.0; fluent MIT"
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
        things = _read_table(folder / "openmoji" / "package" / _TABLE)
        drawings = {name: _read_drawings(folder / name / "package") for name in SOURCES}
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{folder}: incomplete or damaged ({error}); "
            "remove the folder and run `triform data get emoji`"
        ) from None
    rows = [
        (maker, label, drawings[name][thing["hexcode"]])
        for maker, name in enumerate(SOURCES)
        for label, thing in enumerate(things)
        if thing["hexcode"] in drawings[name]
    ]
    makers = np.array([row[0] for row in rows])
    labels = np.array([row[1] for row in rows])
    names = tuple(thing["annotation"] for thing in things)
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
        captions=tuple(tuple(_captions(thing)) for thing in things),
        licence=LICENCE,
    )


def _read_table(path: Path) -> list[dict[str, str]]:
    """One row per thing: without skin tones, and the first of each name."""
    things: dict[str, dict[str, str]] = {}
    with path.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            if row["skintone"] or row["group"].startswith("extras") or row["group"] == "component":
                continue
            things.setdefault(row["annotation"], {**row, "hexcode": _key(row["hexcode"])})
    if not things:
        raise ValueError(f"{path.name} holds no rows")
    return list(things.values())


def _captions(thing: dict[str, str]) -> Iterator[str]:
    """The name first, then every tag that says something else."""
    tags = f"{thing['tags']}, {thing['openmoji_tags']}".split(",")
    yield from dict.fromkeys([thing["annotation"], *filter(None, map(str.strip, tags))])


def _key(hexcode: str) -> str:
    """Code points without the selector that asks for colour: makers differ in writing it."""
    return "-".join(part for part in hexcode.lower().split("-") if part != "fe0f")


def _plain(name: str) -> str:
    """A name without all that icon sets write differently."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _read_drawings(package: Path) -> dict[str, str]:
    """SVG texts by code points."""
    if (package / "color").is_dir():  # OpenMoji itself
        return {
            _key(path.stem): path.read_text("utf-8")
            for path in sorted((package / "color" / "svg").glob("*.svg"))
        }
    icons = json.loads((package / "icons.json").read_text("utf-8"))
    width, height = icons.get("width", 16), icons.get("height", 16)

    def drawing(name: str) -> str | None:
        icon = icons["icons"].get(name)
        if icon is None:
            return None
        box = f"0 0 {icon.get('width', width)} {icon.get('height', height)}"
        return (
            '<svg xmlns="http://www.w3.org/2000/svg" '
            f'xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="{box}">{icon["body"]}</svg>'
        )

    chars = json.loads((package / "chars.json").read_text("utf-8"))
    named = {_key(code): name for code, name in chars.items()}
    if not named:  # older sets have names only, some without hyphens
        aliases = {name: entry["parent"] for name, entry in icons.get("aliases", {}).items()}
        known = {_plain(name): aliases.get(name, name) for name in [*aliases, *icons["icons"]]}
        with (package.parents[1] / "openmoji" / "package" / _TABLE).open(encoding="utf-8") as table:
            for row in csv.DictReader(table):
                if name := known.get(_plain(row["annotation"])):
                    named[_key(row["hexcode"])] = name
    drawn = ((code, drawing(name)) for code, name in named.items())
    return {code: svg for code, svg in drawn if svg is not None}


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
        image = Image.open(io.BytesIO(bytes(data))).convert("RGBA")
        image.thumbnail((size, size))  # rounding may have made it a row too high
        picture = np.asarray(image)
        height, width = picture.shape[:2]  # a drawing that is no square keeps its proportions
        top, left = (size - height) // 2, (size - width) // 2
        pictures[row, top : top + height, left : left + width] = picture
    with atomic_write(kept) as stream:
        np.save(stream, pictures)
    return pictures
