"""Opens the shape library of a run; prepares that of a known data set once."""

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
from triform.systems.retrieval.config import DataConfig

COPIES_RESOLUTION = 32
"""Resolution of the voxels by which near copies are put into one split."""


def open_library(data: DataConfig) -> Library:
    """Open the library of a run; a known data set becomes one in the cache folder.

    Raises:
        UserError: Neither a library nor a known data set, or it cannot be prepared.
    """
    name = data.library
    if "://" in name or (Path(name) / METADATA).is_file():
        return Library.open(name)
    if name.partition(":")[0].lower() not in DATASETS:
        return Library.open(name)  # other layouts too; raises where there is nothing
    return Library.open(str(_prepared(data)))


def _prepared(data: DataConfig) -> Path:
    """Folder of a known data set's library, prepared if it is not complete."""
    parameters = (
        f"{data.library} {data.prepared_views} {data.prepared_cameras} {data.prepared_size} "
        f"{data.prepared_points}"
    )
    digest = hashlib.sha256(parameters.encode()).hexdigest()[:12]
    name = "".join(c if c.isalnum() else "-" for c in data.library)
    folder = cache_dir() / "libraries" / f"{name}-{digest}"
    done = folder / ".complete"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not done.is_file():
            prepare.run(
                PrepareSettings(
                    meshes=(data.library,),
                    library=str(folder),
                    views=data.prepared_views,
                    cameras=data.prepared_cameras,
                    image_size=data.prepared_size,
                    points=data.prepared_points,
                    voxel_size=(COPIES_RESOLUTION,),
                    download_path=data.download_path,
                )
            )
            done.touch()
    return folder
