"""Captions from CSV files, merged into those of a library."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence
from pathlib import Path

from triform.base.errors import UserError
from triform.base.logging import get_logger
from triform.datasets.library.layout import Captions, LibraryObject, parse_captions

logger = get_logger(__name__)

Row = tuple[str, str, str]


def read_files(paths: Sequence[str]) -> dict[str, list[Row]]:
    """Rows (object id or file, caption, language) of several CSV files, by file.

    Raises:
        UserError: a file is missing or no such table.
    """
    files = {}
    for path in paths:
        try:
            data = Path(path).expanduser().read_bytes()
        except OSError as error:
            raise UserError(f"--captions {path}: cannot be read ({error.strerror})") from None
        files[path] = parse_captions(data, f"--captions {path}")
    return files


def merge(captions: Captions, objects: Iterable[LibraryObject], files: dict[str, list[Row]]) -> int:
    """Add the rows of CSV files to the captions of objects, each caption once.

    A row names its object by the library's id, the data set's id, or the name of the mesh file
    with or without folders and suffix. A short name that several objects share means all of them.

    Returns:
        How many captions were added.
    """
    ids: dict[str, list[str]] = {}
    for item in objects:
        for name in {item.object_id, item.source, posixpath.basename(item.source)}:
            ids.setdefault(name, []).append(item.object_id)
    added = 0
    for path, rows in files.items():
        unknown = []
        for name, caption, language in rows:
            found = _find(name, ids)
            if not found:
                unknown.append(name)
            for object_id in found:
                known = captions.setdefault(object_id, [])
                if (caption, language) not in known:
                    known.append((caption, language))
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
    bare = posixpath.splitext(name)[0]
    tries = (name, bare, posixpath.basename(name), posixpath.basename(bare))
    return next((ids[one] for one in tries if one in ids), [])
