"""`triform shapes show`: contact sheets of a library."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from triform.base.errors import UsageError, UserError
from triform.base.files import atomic_write
from triform.base.logging import get_logger
from triform.datasets.library.config import ShowSettings
from triform.datasets.library.decoding import as_rows, read_array, read_image
from triform.datasets.library.layout import Library, LibraryObject
from triform.datasets.library.portrait import portrait_view
from triform.datasets.library.shapes import object_splits
from triform.geometry.dots import draw_points
from triform.geometry.sheet import contact_sheet

logger = get_logger(__name__)

_KINDS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
_MOST_POINTS = 8192
_GAP = 2


def run(settings: ShowSettings) -> dict[str, Any]:
    """Draw the sheets that the settings ask for; the answer of `triform shapes show`."""
    output = Path(settings.output).expanduser()
    if output.suffix.lower() not in _KINDS:
        raise UsageError(f"--output {settings.output!r}: must end in {', '.join(sorted(_KINDS))}")
    if not settings.views and not settings.points:
        raise UsageError("--views 0: there is nothing to show, unless --points is given")
    library = Library.open(settings.library)
    objects = choose(library, settings.objects, settings.split)
    room = settings.rows * settings.columns
    sheets = [spread(objects, room)]
    paths = [output]
    if settings.every or settings.objects:
        sheets = [objects[start : start + room] for start in range(0, len(objects), room)]
    if len(sheets) > 1:
        paths = [
            output.with_stem(f"{output.stem}-{number:03}") for number in range(1, len(sheets) + 1)
        ]
    shown = 0
    failed: list[str] = []
    with tqdm(
        total=sum(map(len, sheets)), desc="pictures", unit="object", disable=None, leave=False
    ) as bar:
        for path, sheet in zip(paths, sheets, strict=True):
            tiles, labels = [], []
            for entry in sheet:
                try:
                    tiles.append(
                        draw(library, entry, settings.views, settings.points, settings.size)
                    )
                except UserError as error:
                    failed.append(str(error))
                    tiles.append(np.zeros((settings.size, settings.size, 4), dtype=np.uint8))
                labels.append(name(library, entry))
                bar.update()
            picture = contact_sheet(tiles, labels, settings.columns)
            with atomic_write(path) as stream:
                picture.save(stream, _KINDS[path.suffix.lower()])
            shown += len(sheet)
    if failed:
        logger.warning("%d objects cannot be shown; the first: %s", len(failed), failed[0])
    return {
        "library": library.root,
        "objects": len(library),
        "shown": shown,
        "sheets": [str(path) for path in paths],
    }


def choose(library: Library, patterns: Sequence[str], split: str = "") -> list[LibraryObject]:
    """Objects by name, where `*` and `?` stand for any letters, and by split.

    Raises:
        UserError: there are none, or a name fits none.
    """
    objects = library.objects
    if split:
        splits = object_splits(library)
        objects = [entry for entry in objects if splits[entry.object_id] == split]
    if not objects:
        where = f"its {split} split" if split else "it"
        raise UserError(f"{library.root}: there are no objects in {where}")
    chosen: dict[str, LibraryObject] = {}
    for pattern in patterns:
        fits = {
            entry.object_id: entry
            for entry in objects
            if fnmatch.fnmatchcase(entry.object_id, pattern) or pattern == entry.source
        }
        if not fits:
            raise UserError(
                f"{library.root}: no object fits --objects {pattern!r}; "
                f"there are {objects[0].object_id!r} and {len(objects) - 1} more"
            )
        chosen |= fits
    return list(chosen.values()) if patterns else list(objects)


def spread(objects: Sequence[LibraryObject], count: int) -> list[LibraryObject]:
    """At most so many objects, evenly from the whole list."""
    if len(objects) <= count:
        return list(objects)
    return [objects[number * len(objects) // count] for number in range(count)]


def draw(library: Library, entry: LibraryObject, views: int, points: bool, size: int) -> np.ndarray:
    """One object: some of its pictures, and its points, side by side.

    Returns:
        (size, W, 4) uint8.
    """
    tiles = []
    if entry.images:
        count = min(views, len(entry.images))
        first = portrait_view(library, entry) if count else 0
        steps = [number * len(entry.images) // count for number in range(count)]
        chosen = [(first + step) % len(entry.images) for step in steps]
        tiles = [read_image(library, entry.images[view], size) for view in chosen]
    if points and entry.points:
        cloud = as_rows(read_array(library, entry.points), entry.points)
        step = -(-len(cloud) // _MOST_POINTS) or 1
        colors = None
        if entry.colors:
            values = as_rows(read_array(library, entry.colors), entry.colors, "colours")
            if len(values) != len(cloud):
                raise UserError(
                    f"{entry.colors}: {len(values)} colours for {len(cloud)} points of the cloud"
                )
            scale = 1 if values.dtype.kind in "iu" else 255
            colors = np.clip(values[::step] * scale, 0, 255).astype(np.uint8)
        shown = np.asarray(cloud[::step], dtype=np.float64)
        if not np.isfinite(shown).all():
            raise UserError(f"{entry.points}: points that are NaN or infinite cannot be drawn")
        tiles.append(draw_points(shown, colors, size))
    if not tiles:
        return np.zeros((size, size, 4), dtype=np.uint8)
    gap = np.zeros((size, _GAP, 4), dtype=np.uint8)
    joined = [part for tile in tiles for part in (tile, gap)][:-1]
    return np.concatenate(joined, axis=1)


def name(library: Library, entry: LibraryObject) -> str:
    """What stands below an object: its id, and its first caption where there is one."""
    captions = library.captions.get(entry.object_id, ())
    english = [caption for caption, language in captions if language == "en"]
    said = next(iter(english or [caption for caption, _ in captions]), "")
    return f"{entry.object_id} {said}".strip()
