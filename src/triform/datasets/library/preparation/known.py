"""Libraries of known data sets, prepared in the cache folder when they are first asked for."""

from __future__ import annotations

import hashlib
from pathlib import Path

from filelock import FileLock

from triform.base.paths import cache_dir
from triform.datasets.library.config import PrepareSettings
from triform.datasets.library.layout import METADATA
from triform.datasets.library.library import Library
from triform.datasets.library.preparation import prepare
from triform.datasets.load import DATASETS


def open_or_prepare(name: str, settings: PrepareSettings) -> Library:
    """Open a library; a known data set becomes one in the cache folder.

    Args:
        name: A folder or URL of a library, or a name from `triform data list`.
        settings: How a data set is prepared; its meshes and library are set here.

    Raises:
        UserError: Neither a library nor a known data set, or it cannot be prepared.
    """
    is_library = "://" in name or (Path(name) / METADATA).is_file()
    names = [part.strip() for part in name.split(",")]
    if is_library or not all(part.partition(":")[0].lower() in DATASETS for part in names):
        return Library.open(name)  # other layouts too; raises where there is nothing
    return Library.open(str(prepared_folder(names, settings)))


def prepared_folder(names: list[str], settings: PrepareSettings) -> Path:
    """Folder of the library of known data sets, prepared if it is not complete."""
    recipe = settings.model_dump_json(exclude={"meshes", "library", "download_path", "workers"})
    digest = hashlib.sha256(f"{names} {recipe}".encode()).hexdigest()[:12]
    label = "".join(letter if letter.isalnum() else "-" for letter in "-".join(names))[:60]
    folder = cache_dir() / "libraries" / f"{label}-{digest}"
    done = folder / ".complete"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not done.is_file():
            prepare.run(
                settings.model_copy(update={"meshes": tuple(names), "library": str(folder)})
            )
            done.touch()
    return folder
