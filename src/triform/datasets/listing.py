"""Listing of the shapes in folders of meshes and in shape libraries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from triform.base.folder_listing import has_files
from triform.datasets.library.shapes import is_library, library_shapes
from triform.datasets.shape import (
    LIBRARY_SUFFIX,
    MESH_SUFFIXES,
    Shape,
    mesh_shapes,
    unique_shapes,
)
from triform.geometry.io.up_axis import Up


def list_shapes(directories: Sequence[Path], max_samples: int = 0, up: Up = "auto") -> list[Shape]:
    """List the shapes of folders and `.sh3f` libraries, sorted, without reading any mesh.

    A folder may contain mesh files in class folders, with or without `train`/`test` folders, and a
    `captions.csv` (`object_id,caption` or `file,caption`, several rows per shape, and optionally
    `category` and `split`). Without captions, file and folder names give the text. A shape library
    (`triform shapes prepare`) is a folder of shapes too, with voxels and no meshes.

    Args:
        directories: folders, libraries or single mesh files.
        max_samples: list only the first `max_samples`; 0 lists all.
        up: upright axis of the mesh files.

    Raises:
        UserError: no shapes, or an invalid `captions.csv`.
    """
    return unique_shapes((_shapes_of(Path(each), up) for each in directories), max_samples)


def _shapes_of(directory: Path, up: Up) -> Iterable[Shape]:
    if is_library(directory) and not has_files(directory, (*MESH_SUFFIXES, LIBRARY_SUFFIX)):
        return library_shapes(directory)
    return mesh_shapes(directory, up)
