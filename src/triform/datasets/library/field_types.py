"""Field types of `metadata.json`: ids that can name files, paths inside the library."""

from __future__ import annotations

from typing import Annotated

import pydantic

from triform.datasets.library.ids import id_problem, path_problem

# Most voxels along a side.
MAX_VOXEL_SIZE = 512


def _check_id(object_id: str) -> str:
    if problem := id_problem(object_id):
        raise ValueError(f"the id {object_id[:120]!r} {problem}; it cannot name files")
    return object_id


def _in_folder(folder: str, old_folder: str = "") -> pydantic.AfterValidator:
    """Validator for paths of files in a folder of the library, now or in version 0."""
    folders = (f"{folder}/", f"{old_folder or folder}/")

    def check(path: str) -> str:
        problem = path_problem(path)
        if not problem and not path.startswith(folders):
            problem = f"is not in the folder {folder}"
        if problem:
            raise ValueError(f"the path {path[:120]!r} {problem}; name a file of the library")
        return path

    return pydantic.AfterValidator(check)


ObjectId = Annotated[str, pydantic.AfterValidator(_check_id)]
ImagePath = Annotated[str, _in_folder("images")]
CameraPath = Annotated[str, _in_folder("cameras")]
PointsPath = Annotated[str, _in_folder("points")]
DepthPath = Annotated[str, _in_folder("depth", "images")]
ColorsPath = Annotated[str, _in_folder("colors", "points")]
NormalsPath = Annotated[str, _in_folder("normals", "points")]
VoxelsPath = Annotated[str, _in_folder("voxels")]
VoxelSize = Annotated[int, pydantic.Field(ge=1, le=MAX_VOXEL_SIZE)]
