"""Sets of pictures by name or folder."""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock

from triform.base.errors import UsageError, UserError
from triform.base.files import atomic_write
from triform.datasets.pictures import emoji, folder, glyphs, joypixels, numerals
from triform.datasets.pictures.table import PictureTable
from triform.datasets.shape import MARKER, read_marker


@dataclasses.dataclass(frozen=True)
class Known:
    """A set of pictures with a name.

    Attributes:
        about: what it is, in a few words.
        pictures: how many.
        licence: in a few words.
        read: reads it from its folder; the second argument is the size asked for.
        fetch: brings it into its folder; None where nothing has to be brought.
        for_tests: it is measured on and never trained on.
    """

    about: str
    pictures: int
    licence: str
    read: Callable[[Path, int | None], PictureTable]
    fetch: Callable[[Path], object] | None = None
    for_tests: bool = False


KNOWN: dict[str, Known] = {
    "digits": Known(
        "pictures of handwritten digits, 8 x 8, grey",
        1797,
        "CC BY 4.0",
        lambda _, __: numerals.load_digits(),
    ),
    "mnist": Known(
        "pictures of handwritten digits, 28 x 28, grey",
        70000,
        "CC BY-SA 3.0",
        lambda place, _: numerals.load_mnist(place),
        numerals.fetch_mnist,
    ),
    "fashion-mnist": Known(
        "pictures of clothes of ten kinds, 28 x 28, grey",
        70000,
        "MIT",
        lambda place, _: numerals.load_fashion(place),
        numerals.fetch_fashion,
    ),
    "glyphs": Known(
        "pictures of characters in up to 16 typefaces, grey",
        26670,
        glyphs.LICENCE,
        lambda _, size: glyphs.load(size),
    ),
    "emoji": Known(
        "pictures of emoji drawn by up to thirteen makers, with names and tags",
        14315,
        emoji.LICENCE,
        emoji.load,
        emoji.fetch,
    ),
    "joypixels": Known(
        "emoji drawn by a maker that nothing was trained on, for tests alone",
        1914,
        joypixels.LICENCE,
        lambda place, size: joypixels.load(place, emoji.things(bring("emoji", place.parent)), size),
        joypixels.fetch,
        for_tests=True,
    ),
}


def load_pictures(
    source: str | Path,
    *,
    size: int | None = None,
    channels: int | None = None,
    download_path: str | Path = "datasets",
    for_tests: bool = False,
) -> PictureTable:
    """Finds, brings or makes a set of pictures and reads it.

    Args:
        source: a folder, or a known name in any case.
        size: rows and columns; not given, those of the source.
        channels: 1, 3 or 4; not given, those of the source.
        download_path: folder for what has to be brought.
        for_tests: nothing is trained on it, so sets that are kept for tests may be read too.

    Raises:
        UsageError: neither a folder nor a known name, a set kept for tests, or an impossible size.
        UserError: the pictures cannot be brought or read.
    """
    if size is not None and not 4 <= size <= 4096:
        raise UsageError(f"size: {size} is not possible; choose 4 to 4096 pixels")
    if os.path.isdir(os.path.expanduser(source)) and str(source).strip():
        return folder.load(Path(source).expanduser(), size, channels)
    name = str(source).strip().lower()
    if name not in KNOWN:
        nearest = difflib.get_close_matches(name, KNOWN, n=1, cutoff=0.6)
        hint = f"perhaps you meant {nearest[0]}" if nearest else f"known: {', '.join(KNOWN)}"
        raise UsageError(f"dataset: {str(source)!r} is neither a folder nor a known name; {hint}")
    known = KNOWN[name]
    if known.for_tests and not for_tests:
        raise UsageError(f"dataset: {name} is kept for tests; nothing may be trained on it")
    table = known.read(bring(name, download_path), size)
    table = table if size is None else table.resized(size)
    return table if channels is None else table.with_channels(channels)


def bring(name: str, download_path: str | Path = "datasets") -> Path:
    """Folder of a known set; it is brought there first where it is not there yet."""
    known, target = KNOWN[name], Path(download_path) / name
    if known.fetch is None or is_ready(name, download_path):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.parent / f".{name}.lock"):
        if is_ready(name, download_path):  # another process has brought it meanwhile
            return target
        if target.exists() and any(target.iterdir()):
            raise UserError(
                f"{target}: is in the way and not from this program; "
                "move it, or choose another download folder"
            )
        for left in target.parent.glob(f".{name}.*making"):  # by a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        # A folder that this call makes, in which nobody else can lay links.
        private = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{name}.", suffix=".making"))
        try:
            making = private / name
            making.mkdir()
            known.fetch(making)
            marker = {"name": name, "made_by": "triform", "licence": known.licence}
            with atomic_write(making / MARKER, "w") as stream:
                stream.write(json.dumps(marker, indent=2))
            if target.exists():
                target.rmdir()
            os.replace(making, target)
        finally:
            shutil.rmtree(private, ignore_errors=True)
    return target


def is_ready(name: str, download_path: str | Path = "datasets") -> bool:
    """Whether a known set needs no more download."""
    return KNOWN[name].fetch is None or read_marker(Path(download_path) / name).get("name") == name


def list_pictures(download_path: str | Path = "datasets") -> list[dict[str, Any]]:
    """Every known set with its size, licence and state, as plain data."""
    rows = []
    for name, known in KNOWN.items():
        ready = is_ready(name, download_path)
        state = "made here" if known.fetch is None else "ready" if ready else "to download"
        rows.append(
            {
                "name": name,
                "objects": known.pictures,
                "state": state,
                "licence": known.licence,
                "about": known.about,
                "url": "",
                "path": str(Path(download_path) / name) if known.fetch and ready else "",
            }
        )
    return rows
