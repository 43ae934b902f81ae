"""Folder of the cache."""

import os
from pathlib import Path

from platformdirs import user_cache_path


def cache_dir() -> Path:
    """Folder for downloads and computed tables: `$TRIFORM_CACHE`, else the user's cache folder.

    The folder is not created here. Deleting it loses time, never work.
    """
    path = os.environ.get("TRIFORM_CACHE", "")
    return Path(path).expanduser() if path else user_cache_path("triform", appauthor=False)
