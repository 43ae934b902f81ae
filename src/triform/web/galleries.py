"""Indexes of searches on disk, up to a limit: the longest unused are deleted first."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from triform.base.logging import get_logger

logger = get_logger(__name__)

SUFFIX = ".gallery"


def mark_used(path: Path) -> None:
    """Note that an index is used now; nothing happens to one that is not there yet."""
    with contextlib.suppress(OSError):
        # The time of its last change stays: the newest of several indexes is told by it.
        os.utime(path, (time.time(), path.stat().st_mtime))


def delete_unused(folder: Path, max_bytes: float, *, keep_seconds: float) -> list[str]:
    """Delete indexes until all together are within their limit.

    Args:
        folder: Folder of the indexes.
        max_bytes: Bytes of all of them.
        keep_seconds: One that was used in this time stays: a job may need it.

    Returns:
        Names of those that were deleted.
    """
    found = []
    for path in folder.glob(f"*{SUFFIX}"):
        with contextlib.suppress(OSError):
            state = path.stat()
            found.append((max(state.st_atime, state.st_mtime), state.st_size, path))
    total = sum(size for _, size, _ in found)
    deleted = []
    for used, size, path in sorted(found):
        if total <= max_bytes or time.time() - used < keep_seconds:
            break
        with contextlib.suppress(OSError):
            path.unlink()
            path.with_name(f".{path.name}.lock").unlink(missing_ok=True)
            deleted.append(path.name)
        total -= size
    if deleted:
        logger.warning("indexes beyond --max_galleries_mb were deleted: %s", ", ".join(deleted))
    return deleted
