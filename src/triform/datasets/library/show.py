"""`triform shapes show`: contact sheets of a library."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from triform.base.errors import UsageError, UserError
from triform.base.files import atomic_write
from triform.base.logging import get_logger
from triform.base.progress import progress_bar
from triform.datasets.library.config import ShowSettings
from triform.datasets.library.decoding import as_rows, read_array, read_image
from triform.datasets.library.default_view import default_view
from triform.datasets.library.layout import LibraryObject
from triform.datasets.library.library import Library
from triform.datasets.library.shapes import object_splits
from triform.geometry.render.points import draw_points
from triform.images.contact_sheet import contact_sheet

logger = get_logger(__name__)

_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
_MAX_POINTS = 8192
_GAP = 2


def run(settings: ShowSettings) -> dict[str, Any]:
    """Draw contact sheets; returns the result of `triform shapes show`."""
    output = Path(settings.output).expanduser()
    if output.suffix.lower() not in _FORMATS:
        raise UsageError(f"--output {settings.output!r}: must end in {', '.join(sorted(_FORMATS))}")
    if not settings.views and not settings.points:
        raise UsageError("--views 0: there is nothing to show, unless --points is given")
    library = Library.open(settings.library)
    objects = select_objects(library, settings.objects, settings.split)
    sheet_size = settings.rows * settings.columns
    sheets = [evenly_spaced(objects, sheet_size)]
    paths = [output]
    if settings.all_objects or settings.objects:
        sheets = [
            objects[start : start + sheet_size] for start in range(0, len(objects), sheet_size)
        ]
    if len(sheets) > 1:
        paths = [
            output.with_stem(f"{output.stem}-{index:03}") for index in range(1, len(sheets) + 1)
        ]
    num_shown = 0
    failed: list[str] = []
    with progress_bar(desc="images", total=sum(map(len, sheets)), unit="object") as bar:
        for path, sheet in zip(paths, sheets, strict=True):
            tiles, labels = [], []
            for entry in sheet:
                try:
                    tiles.append(
                        object_tile(library, entry, settings.views, settings.points, settings.size)
                    )
                except UserError as error:
                    failed.append(str(error))
                    tiles.append(np.zeros((settings.size, settings.size, 4), dtype=np.uint8))
                labels.append(tile_label(library, entry))
                bar.update()
            image = contact_sheet(tiles, labels, settings.columns)
            with atomic_write(path) as stream:
                image.save(stream, _FORMATS[path.suffix.lower()])
            num_shown += len(sheet)
    if failed:
        logger.warning("%d objects cannot be shown; the first: %s", len(failed), failed[0])
    return {
        "library": library.root,
        "objects": len(library),
        "shown": num_shown,
        "sheets": [str(path) for path in paths],
    }


def select_objects(
    library: Library, patterns: Sequence[str], split: str = ""
) -> list[LibraryObject]:
    """Objects by name, with the wildcards `*` and `?`, and by split.

    Raises:
        UserError: there are none, or a name matches none.
    """
    objects = library.objects
    if split:
        splits = object_splits(library)
        objects = [entry for entry in objects if splits[entry.object_id] == split]
    if not objects:
        where = f"its {split} split" if split else "it"
        raise UserError(f"{library.root}: there are no objects in {where}")
    selected: dict[str, LibraryObject] = {}
    for pattern in patterns:
        matches = {
            entry.object_id: entry
            for entry in objects
            if fnmatch.fnmatchcase(entry.object_id, pattern) or pattern == entry.source
        }
        if not matches:
            raise UserError(
                f"{library.root}: no object matches --objects {pattern!r}; "
                f"there are {objects[0].object_id!r} and {len(objects) - 1} more"
            )
        selected |= matches
    return list(selected.values()) if patterns else list(objects)


def evenly_spaced(objects: Sequence[LibraryObject], count: int) -> list[LibraryObject]:
    """At most `count` objects, evenly spaced in the list."""
    if len(objects) <= count:
        return list(objects)
    return [objects[index * len(objects) // count] for index in range(count)]


def object_tile(
    library: Library, entry: LibraryObject, views: int, with_points: bool, size: int
) -> np.ndarray:
    """Some images of an object, and its points, side by side.

    Returns:
        (size, W, 4) uint8.
    """
    tiles = []
    if entry.images:
        count = min(views, len(entry.images))
        start = default_view(library, entry) if count else 0
        steps = [index * len(entry.images) // count for index in range(count)]
        selected = [(start + step) % len(entry.images) for step in steps]
        tiles = [read_image(library, entry.images[view], size) for view in selected]
    if with_points and entry.points:
        points = as_rows(read_array(library, entry.points), entry.points)
        step = -(-len(points) // _MAX_POINTS) or 1
        colors = None
        if entry.colors:
            values = as_rows(read_array(library, entry.colors), entry.colors, "colours")
            if len(values) != len(points):
                raise UserError(f"{entry.colors}: {len(values)} colours for {len(points)} points")
            scale = 1 if values.dtype.kind in "iu" else 255
            colors = np.clip(values[::step] * scale, 0, 255).astype(np.uint8)
        sampled = np.asarray(points[::step], dtype=np.float64)
        if not np.isfinite(sampled).all():
            raise UserError(f"{entry.points}: points that are NaN or infinite cannot be drawn")
        tiles.append(draw_points(sampled, colors, size))
    if not tiles:
        return np.zeros((size, size, 4), dtype=np.uint8)
    gap = np.zeros((size, _GAP, 4), dtype=np.uint8)
    joined = [part for tile in tiles for part in (tile, gap)][:-1]
    return np.concatenate(joined, axis=1)


def tile_label(library: Library, entry: LibraryObject) -> str:
    """Label of an object: its id and its first caption."""
    captions = library.captions.get(entry.object_id, ())
    english = [caption for caption, language in captions if language == "en"]
    caption = next(iter(english or [caption for caption, _ in captions]), "")
    return f"{entry.object_id} {caption}".strip()
