"""Checksums of files."""

import hashlib
import mmap
from pathlib import Path


def file_sha256(path: Path) -> str:
    """sha256 of a file's contents, as hex digits."""
    if path.stat().st_size == 0:
        return hashlib.sha256().hexdigest()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        return hashlib.sha256(view).hexdigest()
