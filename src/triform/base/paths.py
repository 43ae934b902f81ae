"""Where things that can be made again are kept."""

import os
from pathlib import Path

from platformdirs import user_cache_path


def cache_dir() -> Path:
    """Folder for downloads and computed tables: `$TRIFORM_CACHE`, else the user's cache folder.

    The folder is not made here. Deleting it loses time, never work.
    """
    chosen = os.environ.get("TRIFORM_CACHE", "")
    return Path(chosen).expanduser() if chosen else user_cache_path("triform", appauthor=False)
