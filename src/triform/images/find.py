"""Image files by name, folder or pattern."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from pathlib import Path

from triform.base.errors import UsageError
from triform.base.folder_listing import left_out, list_files
from triform.images.read import IMAGE_SUFFIXES


def find_images(patterns: Sequence[str]) -> list[Path]:
    """Find the images that `--images` names, each once.

    Args:
        patterns: Files, folders (with all folders inside), or patterns such as `photos/*.jpg`.

    Raises:
        UsageError: One of them names no image.
    """
    paths: list[Path] = []
    for pattern in patterns:
        matches = list(_matches(pattern))
        if not matches:
            others = left_out(Path(pattern).expanduser(), IMAGE_SUFFIXES)
            raise UsageError(f"--images {pattern}: no images there{others}")
        paths += matches
    return list(dict.fromkeys(paths))


def _matches(pattern: str) -> Iterator[Path]:
    path = Path(pattern).expanduser()
    if path.is_dir():
        yield from list_files(path, IMAGE_SUFFIXES)
    elif path.exists():
        yield path
    else:
        yield from (Path(file) for file in sorted(glob.glob(str(path), recursive=True)))
