"""Types of the fields of `metadata.json`: ids that can name files, paths inside the library."""

from __future__ import annotations

from typing import Annotated

import pydantic

from triform.datasets.library.ids import id_fault, path_fault

# Voxels along each side of the finest grid.
LARGEST_GRID = 512


def _check_id(object_id: str) -> str:
    if fault := id_fault(object_id):
        raise ValueError(f"the id {object_id[:120]!r} {fault}; it cannot name files")
    return object_id


def _in_folder(folder: str) -> pydantic.AfterValidator:
    """Refuses whatever is not the path of a file in this folder of the library."""

    def check(path: str) -> str:
        fault = path_fault(path)
        if not fault and not path.startswith(f"{folder}/"):
            fault = f"is not in the folder {folder}"
        if fault:
            raise ValueError(f"the path {path[:120]!r} {fault}; name a file of the library")
        return path

    return pydantic.AfterValidator(check)


ObjectId = Annotated[str, pydantic.AfterValidator(_check_id)]
ImagePath = Annotated[str, _in_folder("images")]
CameraPath = Annotated[str, _in_folder("cameras")]
PointsPath = Annotated[str, _in_folder("points")]
VoxelsPath = Annotated[str, _in_folder("voxels")]
GridSize = Annotated[int, pydantic.Field(ge=1, le=LARGEST_GRID)]
