"""Folders of data sets that this program downloaded or made, recognised by a marker file."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from triform.base.errors import UserError
from triform.base.files import atomic_write
from triform.datasets.shape import MARKER, read_marker


def is_managed(folder: Path) -> bool:
    """Whether this program made or downloaded a folder."""
    return folder.is_dir() and read_marker(folder).get("made_by") == "triform"


def make_folder(
    name: str, target: Path, make: Callable[[Path], object], metadata: Mapping[str, object]
) -> None:
    """Make the folder of a data set; it appears when it is complete.

    The caller holds the lock of the data set.

    Args:
        name: of the data set.
        target: the folder; an older one of this program is replaced.
        make: writes the data into a folder that does not exist yet.
        metadata: further content of the marker file.

    Raises:
        UserError: a folder of the user is in the way, or `make` failed.
    """
    if target.exists() and any(target.iterdir()) and not is_managed(target):
        raise UserError(
            f"{target}: is in the way and not from this program; "
            "move it, or choose another download folder"
        )
    for leftover in target.parent.glob(f".{name}.*making"):  # of a process that was killed
        shutil.rmtree(leftover, ignore_errors=True)  # follows no link
    # A folder that only this call can write to, so that nobody else can place links in it.
    private = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{name}.", suffix=".making"))
    partial = private / target.name
    try:
        make(partial)
        marker = {"name": name, "made_by": "triform", **metadata}
        with atomic_write(partial / MARKER) as stream:
            stream.write(json.dumps(marker, indent=2).encode())
        if target.exists():
            shutil.rmtree(target)
        os.replace(partial, target)
    finally:
        shutil.rmtree(private, ignore_errors=True)
