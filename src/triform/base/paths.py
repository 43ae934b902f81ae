"""Folder of the cache."""

import atexit
import os
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path

from platformdirs import user_cache_path

from triform.base.logging import get_logger

logger = get_logger(__name__)


def cache_dir() -> Path:
    """Folder for computed tables: `$TRIFORM_CACHE`, else the user's cache folder.

    Where that cannot be written, a temporary folder until the end of the program, with one warning:
    a cache saves time and is never required. Deleting it loses time, never work.
    """
    path = os.environ.get("TRIFORM_CACHE", "")
    folder = Path(path).expanduser() if path else user_cache_path("triform", appauthor=False)
    return _writable(folder)


@lru_cache
def _writable(folder: Path) -> Path:
    """Return a folder, or a temporary one if it cannot be written."""
    try:
        # Nothing is left behind, and the folder is not created here.
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        with tempfile.TemporaryDirectory(dir=existing, prefix=".triform-"):
            return folder
    except OSError as error:
        reason = error.strerror or str(error)
    try:
        temporary = Path(tempfile.mkdtemp(prefix="triform-cache-"))
    except OSError:
        return folder  # whoever writes there says so in a line
    logger.warning(
        "the cache folder %s cannot be written (%s); what is computed is kept for this run only; "
        "TRIFORM_CACHE names another folder",
        folder,
        reason,
    )
    # Worker processes use it too, and only this one removes it.
    os.environ["TRIFORM_CACHE"] = str(temporary)
    atexit.register(_remove, temporary, os.getpid())
    return temporary


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)
