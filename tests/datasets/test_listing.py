"""Libraries and meshes in one list; a library is looked through once, however many objects."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent / "library"))
from sphere_library import write_library

from triform.datasets.listing import list_shapes
from triform.systems.retrieval.gallery.entries import list_entries

TRIANGLE = "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"


def test_libraries_and_meshes_together(tmp_path: Path) -> None:
    library = write_library(tmp_path / "balls", voxels=16)
    (tmp_path / "meshes").mkdir()
    (tmp_path / "meshes" / "a.obj").write_text(TRIANGLE)
    ids = [shape.object_id for shape in list_shapes([library, tmp_path / "meshes", library])]
    assert ids == ["balls/ball1", "balls/ball2", "balls/ball3", "meshes/a"]


def test_meshes_in_a_folder_that_looks_like_a_library_are_what_counts(tmp_path: Path) -> None:
    folder = write_library(tmp_path / "balls", voxels=16)
    (folder / "a.obj").write_text(TRIANGLE)
    assert [shape.object_id for shape in list_shapes([folder])] == ["balls/a"]


@pytest.mark.parametrize("road", ["shapes", "gallery"])
def test_a_foreign_library_is_scanned_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, road: str
) -> None:
    scans: list[Any] = []
    scandir = os.scandir

    def count(path: Any = ".") -> Any:
        scans.append(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", count)
    counts = []
    for size in (2, 40):
        folder = write_library(
            tmp_path / str(size),
            views=1,
            size=16,
            points=8,
            depths=False,
            names=tuple(f"x{number}" for number in range(size)),
        )
        scans.clear()
        listed = (
            list_shapes([folder]) if road == "shapes" else list_entries([str(folder)], "datasets")
        )
        assert len(listed) == size
        counts.append(len(scans))
    assert counts[0] == counts[1] <= 12
