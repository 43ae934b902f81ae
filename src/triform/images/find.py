"""Image files by name, folder or pattern."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from triform.base.errors import UsageError
from triform.base.logging import get_logger
from triform.base.printable import shorten
from triform.images.read import IMAGE_SUFFIXES

logger = get_logger(__name__)


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
            raise UsageError(f"--images {pattern}: no images there")
        paths += matches
    return list(dict.fromkeys(paths))


def _matches(pattern: str) -> Iterator[Path]:
    path = Path(pattern).expanduser()
    if path.is_dir():
        yield from images_in(path)
    elif path.exists():
        yield path
    else:
        yield from (Path(file) for file in sorted(glob.glob(str(path), recursive=True)))


def images_in(folder: Path) -> list[Path]:
    """All images below a folder, sorted; says what else is there and left out.

    Hidden files and folders do not count, nor does what macOS adds to archives.
    """
    images: list[Path] = []
    left_out: Counter[str] = Counter()
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "__MACOSX"))]
        left_out["linked folder"] += sum(os.path.islink(Path(parent, name)) for name in folders)
        for path in (Path(parent, name) for name in names if not name.startswith(".")):
            suffix = path.suffix.lower()
            if suffix in IMAGE_SUFFIXES:
                images.append(path)
            else:
                left_out[shorten(suffix) or "no suffix"] += 1
    if left_out := +left_out:
        counts = ", ".join(f"{count} {kind}" for kind, count in left_out.most_common(5))
        more = f" and {len(left_out) - 5} other kinds" if len(left_out) > 5 else ""
        logger.warning("%s: left out, not read as images: %s%s", folder, counts, more)
    return sorted(images)
