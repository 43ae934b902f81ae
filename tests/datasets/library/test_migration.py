"""Libraries as the Shap-E document has them, and those of version 0."""

import csv
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from triform.base.errors import UserError
from triform.datasets.library.checking.check import check_library
from triform.datasets.library.commands import main
from triform.datasets.library.decoding import decode_depth, read_array
from triform.datasets.library.library import Library
from triform.datasets.library.migration import move_old_files
from triform.datasets.library.store import Store

Prepare = Callable[..., dict[str, Any]]
Contents = Callable[[str], dict[str, bytes]]


def old_path(path: str) -> str:
    folder, name = path.split("/")
    stem, suffix = os.path.splitext(name)
    if folder == "depth":
        return f"images/{stem}.depth.png"
    return f"points/{stem}.{folder}{suffix}" if folder in ("colors", "normals") else path


def to_version_0(library: Path) -> None:
    """Put the files where version 0 had them, and name them so in the table."""
    for folder in ("depth", "colors", "normals"):
        for path in sorted((library / folder).iterdir()):
            path.rename(library / old_path(f"{folder}/{path.name}"))
        (library / folder).rmdir()
    table = json.loads((library / "metadata.json").read_text())
    for entry in table.values():
        entry["depths"] = [*map(old_path, entry["depths"])]
        entry.update({key: old_path(entry[key]) for key in ("colors", "normals")})
    (library / "metadata.json").write_text(json.dumps(table))


@pytest.fixture
def library(meshes: Path, tmp_path: Path, run: Prepare) -> Path:
    run(meshes, tmp_path / "library", workers=1)
    return tmp_path / "library"


def documented_loader(folder: Path) -> dict[str, tuple[list[str], np.ndarray, list[str]]]:
    """What a stranger writes from the document: object -> views, points, captions."""
    captions: dict[str, list[str]] = {}
    with open(folder / "captions.csv", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            captions.setdefault(row["object_id"], []).append(row["caption"])
    views: dict[str, list[str]] = {}
    for name in sorted(os.listdir(folder / "images")):
        object_id, view = name.removesuffix(".png").rsplit("_view", 1)
        assert (folder / "cameras" / f"{object_id}_view{int(view)}.json").is_file()
        views.setdefault(object_id, []).append(name)
    objects = {}
    for name in sorted(os.listdir(folder / "points")):
        points = np.load(folder / "points" / name)
        object_id = name.removesuffix(".npy")
        assert points.ndim == 2 and 3 in points.shape
        objects[object_id] = views.pop(object_id), points, captions.pop(object_id)
    assert not views and not captions
    return objects


def test_a_loader_written_from_the_document_counts_right(library: Path) -> None:
    objects = documented_loader(library)
    assert len(objects) == 4
    assert all(len(views) == 3 and len(texts) == 2 for views, _, texts in objects.values())
    assert all(points.shape == (32, 3) for _, points, _ in objects.values())
    table = json.loads((library / "metadata.json").read_text())
    for object_id, (views, _, _) in objects.items():
        assert table[object_id]["images"] == [f"images/{view}" for view in views]
        assert table[object_id]["points"] == f"points/{object_id}.npy"


@pytest.mark.parametrize("table", [True, False])
def test_version_0_is_read(library: Path, table: bool) -> None:
    before = Library.open(str(library))
    to_version_0(library)
    if not table:
        (library / "metadata.json").unlink()
    after = Library.open(str(library))
    for entry, old in zip(before.objects, after.objects, strict=True):
        assert old.depths == tuple(map(old_path, entry.depths)) and len(old.depths) == 3
        assert old.with_current_paths() == entry if table else old.colors == old_path(entry.colors)
        assert np.isfinite(decode_depth(after.read_bytes(old.depths[0]), "depth")).any()
        assert read_array(after, old.colors).shape == (32, 3)
    problems = check_library(str(library), workers=1).problems
    assert [(p.level, p.kind) for p in problems] == [("warning", "old layout")]
    assert "19 more" in problems[0].line and "--fix" in problems[0].line


def test_fix_moves_files_and_names_them_in_the_table(
    library: Path, contents: Contents, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(str(library))
    to_version_0(library)
    assert main(["check", str(library), "--fix"]) == 0
    text = capsys.readouterr().out
    assert "moved 20 files to depth, colors and normals" in text and "nothing is wrong" in text
    assert contents(str(library)) == before
    assert move_old_files(Store(str(library))) == 0


def test_an_interrupted_move_goes_on(library: Path, contents: Contents) -> None:
    """Half of the files are moved and the table names all at their old paths."""
    before = contents(str(library))
    to_version_0(library)
    (library / "depth").mkdir()
    for path in sorted((library / "images").glob("*.depth.png"))[:5]:
        path.rename(library / "depth" / path.name.replace(".depth", ""))
    assert move_old_files(Store(str(library))) == 15
    assert contents(str(library)) == before


def test_preparation_goes_on_in_a_library_of_version_0(
    meshes: Path, library: Path, run: Prepare, contents: Contents
) -> None:
    before = contents(str(library))
    to_version_0(library)
    result = run(meshes, library, workers=1)
    assert (result["prepared"], result["unchanged"]) == (0, 4)
    assert contents(str(library)) == before


def test_remote_libraries_move_as_well(meshes: Path, memory: str, run: Prepare) -> None:
    run(meshes, memory)
    store = Store(memory)
    path = next(iter(store.sizes("depth")))
    data = store.read_bytes(path)
    store.move(path, old_path(path))
    assert move_old_files(store) == 1
    assert store.read_bytes(path) == data and old_path(path) not in store.sizes("images")


def test_fix_creates_nothing_where_there_is_no_library(tmp_path: Path) -> None:
    assert move_old_files(Store(str(tmp_path / "none"))) == 0 and not any(tmp_path.iterdir())


def test_links_out_of_the_library_are_not_followed(library: Path, tmp_path: Path) -> None:
    to_version_0(library)
    outside = tmp_path / "outside"
    outside.mkdir()
    (library / "depth").symlink_to(outside)
    with pytest.raises(UserError, match="leads out of the library"):
        move_old_files(Store(str(library)))
    assert not any(outside.iterdir())
    shutil.rmtree(outside)
