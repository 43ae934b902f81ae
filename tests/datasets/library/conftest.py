"""A folder of small meshes, and preparing it fast."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from triform.datasets.library.config import PrepareSettings
from triform.datasets.library.layout import FOLDERS
from triform.datasets.library.preparation import prepare
from triform.datasets.library.store import Store

# Tests in sub-folders import `sphere_library`.
sys.path.insert(0, str(Path(__file__).parent))

CORNERS = [(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)]
FACES = ["1 2 4 3", "5 7 8 6", "1 5 6 2", "3 4 8 7", "1 3 7 5", "2 6 8 4"]
RED = "newmtl paint\nKd 1 0 0\n"
# Enough for every kind of file, fast enough for every test.
SMALL: dict[str, Any] = {"views": 3, "image_size": 16, "points": 32, "voxel_size": (16,)}

Prepare = Callable[..., dict[str, Any]]


def box(x: float, y: float, z: float) -> str:
    """An OBJ file with a box of these sides, in the colour of `paint.mtl`."""
    corners = [f"v {a * x} {b * y} {c * z}" for a, b, c in CORNERS]
    faces = [f"f {face}" for face in FACES]
    return "\n".join(["mtllib paint.mtl", *corners, "usemtl paint", *faces, ""])


@pytest.fixture(name="box")
def give_box() -> Callable[..., str]:
    """`box`, for tests that add meshes of their own."""
    return box


@pytest.fixture
def meshes(tmp_path: Path) -> Path:
    """Four boxes in two class folders, one of them with a material beside it."""
    folder = tmp_path / "meshes"
    for position, sides in {
        "chair/tall": (1, 3, 1),
        "chair/wide": (3, 1, 1),
        "table/flat": (2, 0.2, 3),
        "table/cube": (1, 1, 1),
    }.items():
        path = folder / f"{position}.obj"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(box(*sides))
    (folder / "chair" / "paint.mtl").write_text(RED)
    return folder


@pytest.fixture
def memory() -> Iterator[str]:
    """Address of an empty place in this process's memory."""
    import fsspec

    name = f"/{uuid.uuid4()}"
    yield f"memory:/{name}"
    files = fsspec.filesystem("memory")
    if files.exists(name):
        files.rm(name, recursive=True)


@pytest.fixture
def run() -> Prepare:
    """Prepares a library with few and small files."""

    def prepared(meshes: Path | str, library: Path | str, **settings: Any) -> dict[str, Any]:
        return prepare.run(
            PrepareSettings(meshes=(str(meshes),), library=str(library), **{**SMALL, **settings})
        )

    return prepared


@pytest.fixture
def contents() -> Callable[[str], dict[str, bytes]]:
    """Reads every file of a library."""

    def read(library: str) -> dict[str, bytes]:
        store = Store(library)
        paths = [path for folder in FOLDERS for path in store.sizes(folder)]
        tables = ["metadata.json", "captions.csv", "failed.csv"]
        return {path: store.read_bytes(path) for path in [*paths, *tables]}

    return read
