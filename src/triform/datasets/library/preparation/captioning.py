"""Additional captions of a library from CSV files."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence
from pathlib import Path

from triform.base.errors import UserError
from triform.base.logging import get_logger
from triform.datasets.library.layout import Captions, LibraryObject, parse_captions

logger = get_logger(__name__)

Row = tuple[str, str, str]


def read_caption_files(paths: Sequence[str]) -> dict[str, list[Row]]:
    """Rows (object id or file, caption, language) of several CSV files, by file.

    Raises:
        UserError: a file is missing or not such a table.
    """
    files = {}
    for path in paths:
        try:
            data = Path(path).expanduser().read_bytes()
        except OSError as error:
            raise UserError(f"--captions {path}: cannot be read ({error.strerror})") from None
        files[path] = parse_captions(data, f"--captions {path}")
    return files


def merge_captions(
    captions: Captions, objects: Iterable[LibraryObject], files: dict[str, list[Row]]
) -> int:
    """Add the rows of CSV files to the captions of objects, without duplicates.

    A row names its object by its id in the library or the data set, or by the name of the mesh file
    with or without folders and suffix. A short name of several objects refers to all of them.

    Returns:
        Number of added captions.
    """
    ids: dict[str, list[str]] = {}
    for entry in objects:
        for name in {entry.object_id, entry.source, posixpath.basename(entry.source)}:
            ids.setdefault(name, []).append(entry.object_id)
    added = 0
    for path, rows in files.items():
        unknown = []
        for name, caption, language in rows:
            matches = _find(name, ids)
            if not matches:
                unknown.append(name)
            for object_id in matches:
                existing = captions.setdefault(object_id, [])
                if (caption, language) not in existing:
                    existing.append((caption, language))
                    added += 1
        if unknown:
            logger.warning(
                "--captions %s: %d of %d rows name no object of the library; the first: %r",
                path,
                len(unknown),
                len(rows),
                unknown[0],
            )
    return added


def _find(name: str, ids: dict[str, list[str]]) -> list[str]:
    name = name.replace("\\", "/")
    stem = posixpath.splitext(name)[0]
    candidates = (name, stem, posixpath.basename(name), posixpath.basename(stem))
    return next((ids[name] for name in candidates if name in ids), [])
