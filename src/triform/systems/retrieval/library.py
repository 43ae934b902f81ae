"""The shape library that a run reads: one that is there, or a known data set prepared once."""

from __future__ import annotations

import hashlib
from pathlib import Path

from triform.base.paths import cache_dir
from triform.datasets.library.layout import METADATA, Library
from triform.systems.retrieval.config import DataConfig

COPIES_SIZE = 32
"""Voxels along each side of the grids by which near copies are kept in one split."""


def find_library(data: DataConfig) -> Library:
    """Open the library of a run; a known data set becomes one in the cache folder.

    Raises:
        UserError: Neither a library nor a known data set, or it cannot be prepared.
    """
    name = data.library
    if "://" in name or (Path(name) / METADATA).is_file():
        return Library.open(name)
    from triform.datasets.load import KNOWN

    if name.partition(":")[0].lower() not in KNOWN:
        return Library.open(name)  # other layouts too, and the complaint where there is nothing
    return Library.open(str(_prepared(data)))


def _prepared(data: DataConfig) -> Path:
    """Folder of a known data set's library; what is there already is kept."""
    from filelock import FileLock

    from triform.datasets.library import prepare
    from triform.datasets.library.config import PrepareSettings

    facts = (
        f"{data.library} {data.prepared_views} {data.prepared_cameras} {data.prepared_size} "
        f"{data.prepared_points}"
    )
    digest = hashlib.sha256(facts.encode()).hexdigest()[:12]
    words = "".join(c if c.isalnum() else "-" for c in data.library)
    folder = cache_dir() / "libraries" / f"{words}-{digest}"
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
                    voxel_size=(COPIES_SIZE,),
                    download_path=data.download_path,
                )
            )
            done.touch()
    return folder
