"""Preparing libraries: what is in the files, what is kept, what is made again."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from triform.base.errors import UsageError, UserError
from triform.datasets.library.library import Library
from triform.datasets.library.preparation import prepare_object
from triform.datasets.library.store import Store
from triform.datasets.listing import list_shapes
from triform.geometry.io.export import save_mesh
from triform.geometry.mesh import normalize
from triform.geometry.render.cameras import Camera
from triform.geometry.voxels.voxelize import voxelize

Prepare = Callable[..., dict[str, Any]]
Contents = Callable[[str], dict[str, bytes]]
Box = Callable[..., str]


def failures(store: Store) -> dict[str, str]:
    text = store.read_bytes("failed.csv").decode()
    return {row["source"]: row["reason"] for row in csv.DictReader(io.StringIO(text))}


def test_every_file_says_what_the_mesh_is(meshes: Path, memory: str, run: Prepare) -> None:
    summary = run(meshes, memory)
    assert (summary["objects"], summary["prepared"], summary["unchanged"], summary["failed"]) == (
        4,
        4,
        0,
        0,
    )
    library = Library.open(memory)
    assert [entry.object_id for entry in library.objects] == [
        "meshes-chair-tall",
        "meshes-chair-wide",
        "meshes-table-cube",
        "meshes-table-flat",
    ]
    entry = library.objects[0]
    assert (entry.source, entry.dataset, entry.category) == ("meshes/chair/tall", "meshes", "chair")
    assert (entry.views, entry.image_size, entry.point_count) == (3, 16, 32)
    assert entry.voxel_sizes == (16,) and entry.faces == 12
    mesh_file = meshes / "chair" / "tall.obj"
    assert entry.sha256 == hashlib.sha256(mesh_file.read_bytes()).hexdigest()
    paint = hashlib.sha256((meshes / "chair" / "paint.mtl").read_bytes())
    assert entry.dependencies == {"paint.mtl": paint.hexdigest()}
    assert entry.scale == 3 and entry.centre == (0.5, 1.5, 0.5)
    assert library.captions[entry.object_id] == [("tall", "en"), ("chair", "en")]
    assert entry.captions == {"en": 2}

    points = np.load(io.BytesIO(library.read_bytes(entry.points or "")), allow_pickle=False)
    assert points.shape == (32, 3) and points.dtype == np.float32
    # Every point is on the box: one coordinate at the end of its range, none beyond.
    ends = np.array([1 / 6, 1 / 2, 1 / 6])
    assert np.abs(points).max(axis=0) == pytest.approx(ends, abs=1e-6)
    on_face = np.isclose(np.abs(points), ends, atol=1e-6)
    assert on_face.any(axis=1).all()
    normals = np.load(io.BytesIO(library.read_bytes(entry.normals or "")), allow_pickle=False)
    assert normals.dtype == np.float32
    assert np.linalg.norm(normals, axis=1) == pytest.approx(1, abs=1e-6)
    assert (
        np.abs(normals)[on_face.sum(axis=1) == 1].argmax(axis=1)
        == on_face[on_face.sum(axis=1) == 1].argmax(axis=1)
    ).all()
    colors = np.load(io.BytesIO(library.read_bytes(entry.colors or "")), allow_pickle=False)
    assert colors.dtype == np.uint8 and (colors == (255, 0, 0)).all()

    shape = list_shapes([meshes])[0]
    with np.load(io.BytesIO(library.read_bytes(entry.voxels[16])), allow_pickle=False) as file:
        size = int(file["resolution"])
        grid = np.unpackbits(file["occupancy"], count=size**3).reshape(size, size, size)
    np.testing.assert_array_equal(grid, voxelize(shape.load(), 16, parity=True))


def test_the_upright_axis(tmp_path: Path, memory: str, run: Prepare, meshes: Path) -> None:
    """STL has Z up, our own declares Y; another axis makes the object anew, the same keeps it."""
    folder = tmp_path / "parts"
    folder.mkdir()
    tall = list_shapes([meshes])[0]
    save_mesh(tall.load(), folder / "part.stl")  # 1 x 3 x 1
    data = (folder / "part.stl").read_bytes()
    (folder / "part.stl").write_bytes(b"CAD".ljust(80) + data[80:])
    for up, highest in (("auto", 1 / 6), ("y", 1 / 2)):
        assert run(folder, memory, up=up)["prepared"] == 1
        assert run(folder, memory, up=up)["unchanged"] == 1
        entry = Library.open(memory).objects[0]
        points = np.load(io.BytesIO(Library.open(memory).read_bytes(entry.points or "")))
        assert np.abs(points[:, 1]).max() == pytest.approx(highest, abs=1e-6), up
        assert entry.source_file == str(folder / "part.stl")
    (folder / "part.stl").write_bytes(data)
    assert run(folder, memory, up="auto")["prepared"] == 1
    assert Library.open(memory).objects[0].centre == (0.5, 1.5, 0.5)


def test_depth_and_camera_lead_back_to_the_surface(meshes: Path, memory: str, run: Prepare) -> None:
    run(meshes, memory, views=6, image_size=48)
    library = Library.open(memory)
    entry = library.objects[0]
    vertices = normalize(list_shapes([meshes])[0].load()).vertices
    ends = vertices.max(axis=0)
    for image, depth_file, camera_file in zip(
        entry.images, entry.depths, entry.cameras, strict=True
    ):
        image = np.asarray(Image.open(io.BytesIO(library.read_bytes(image))))
        assert image.shape == (48, 48, 4)
        values = np.asarray(Image.open(io.BytesIO(library.read_bytes(depth_file))))
        assert values.dtype.kind in "ui" and values.max() == 0xFFFF
        camera = Camera.from_json(json.loads(library.read_bytes(camera_file)), camera_file)
        pixels = values < 0xFFFF
        assert 20 < pixels.sum() < 48 * 48
        assert (image[..., 3][pixels] > 0).all()
        depth = values * (5 / 65536)
        places = (camera.origin + depth[..., None] * camera.rays(48))[pixels]
        # On the box within the step of a 16-bit depth.
        inside = np.abs(places) - ends
        assert np.abs(inside.max(axis=1)).max() < 2e-4
        red = image[..., :3][pixels & (image[..., 3] == 255)]
        assert (red[:, 0] > 2 * red[:, 1]).all()


def test_two_runs_give_the_same_bytes(
    meshes: Path, memory: str, run: Prepare, contents: Contents
) -> None:
    run(meshes, memory)
    first = contents(memory)
    second_run = run(meshes, memory)
    assert (second_run["prepared"], second_run["unchanged"]) == (0, 4)
    assert contents(memory) == first
    run(meshes, f"{memory}/other")
    assert contents(f"{memory}/other") == first
    other = run(meshes, f"{memory}/seed", seed=1)
    assert other["prepared"] == 4
    changed = contents(f"{memory}/seed")
    assert changed["points/meshes-chair-tall.npy"] != first["points/meshes-chair-tall.npy"]
    assert changed["voxels/meshes-chair-tall_16.npz"] == first["voxels/meshes-chair-tall_16.npz"]
    data = first["voxels/meshes-chair-tall_16.npz"]
    times = {info.date_time for info in zipfile.ZipFile(io.BytesIO(data)).infolist()}
    assert times == {(1980, 1, 1, 0, 0, 0)}


@pytest.fixture
def prepared_parts(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[str, ...]]]:
    """What the runs of a test make: (object id, parts)."""
    calls: list[tuple[str, tuple[str, ...]]] = []
    original = prepare_object._build

    def record(task: prepare_object.PrepareTask) -> Any:
        calls.append((task.object_id.removeprefix("meshes-"), task.parts))
        return original(task)

    monkeypatch.setattr(prepare_object, "_build", record)
    return calls


def test_only_what_is_missing_or_different_is_made(
    meshes: Path, memory: str, run: Prepare, prepared_parts: list[Any], box: Box
) -> None:
    store = Store(memory)
    run(meshes, memory)
    prepared_parts.clear()

    run(meshes, memory, voxel_size=(8, 16))
    assert {parts for _, parts in prepared_parts} == {("voxels_8",)} and len(prepared_parts) == 4
    assert Library.open(memory).objects[0].voxel_sizes == (8, 16)
    prepared_parts.clear()

    run(meshes, memory, points=8)
    assert {parts for _, parts in prepared_parts} == {("points",)}
    prepared_parts.clear()
    run(meshes, memory, points=8, views=2)
    assert {parts for _, parts in prepared_parts} == {("views",)}
    assert len(store.sizes("images")) == len(store.sizes("cameras")) == 4 * 2
    prepared_parts.clear()

    store.remove("depth/meshes-chair-tall_view2.png")
    store.write_bytes("points/meshes-chair-wide.npy", b"torn")
    run(meshes, memory, points=8, views=2)
    assert prepared_parts == [("chair-tall", ("views",)), ("chair-wide", ("points",))]
    prepared_parts.clear()

    (meshes / "chair" / "paint.mtl").write_text("newmtl paint\nKd 0 0 1\n")
    run(meshes, memory, points=8, views=2)
    every = ("views", "points", "voxels_16")
    assert prepared_parts == [("chair-tall", every), ("chair-wide", every)]
    assert "voxels/meshes-chair-tall_8.npz" not in store.sizes("voxels"), "made from what is gone"
    prepared_parts.clear()

    (meshes / "table" / "cube.obj").write_text(box(1, 1, 2))
    (meshes / "table" / "new.obj").write_text(box(1, 2, 2))
    run(meshes, memory, points=8, views=2)
    assert [name for name, _ in prepared_parts] == ["table-cube", "table-new"]
    assert Library.open(memory).objects[2].scale == 2


def test_touched_files_are_not_made_again(
    meshes: Path, memory: str, run: Prepare, prepared_parts: list[Any]
) -> None:
    run(meshes, memory)
    prepared_parts.clear()
    for path in meshes.rglob("*.obj"):
        path.write_bytes(path.read_bytes())
    run(meshes, memory)
    assert prepared_parts == []


def test_objects_of_other_sources_stay(meshes: Path, memory: str, run: Prepare) -> None:
    run(meshes / "chair", memory)
    summary = run(meshes / "table", memory)
    assert (summary["objects"], summary["prepared"]) == (4, 2)
    summary = run(meshes / "table", memory, max_samples=1)
    assert (summary["objects"], summary["prepared"], summary["unchanged"]) == (4, 0, 1)


BAD = {
    "empty.obj": b"",
    "nothing.obj": b"v 0 0 0\n",
    "range.obj": b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n",
    "nan.obj": b"v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
    "huge.obj": b"v 0 0 0\nv 1e30 0 0\nv 0 1 0\nf 1 2 3\n",
    "point.obj": b"v 0 0 0\nf 1 1 1\n",
    "noise.stl": bytes(range(256)) * 8,
}


def test_bad_meshes_do_not_stop_the_run(
    meshes: Path, memory: str, run: Prepare, prepared_parts: list[Any], box: Box, contents: Contents
) -> None:
    for name, data in BAD.items():
        (meshes / name).write_bytes(data)
    summary = run(meshes, memory)
    assert (summary["objects"], summary["failed"]) == (4, len(BAD))
    store = Store(memory)
    reasons = failures(store)
    assert set(reasons) == {f"meshes/{name.split('.')[0]}" for name in BAD}
    assert all(reason and "\n" not in reason for reason in reasons.values())
    assert reasons["meshes/empty"].endswith("the file is empty")
    assert not any("empty" in path for path in contents(memory))
    prepared_parts.clear()

    run(meshes, memory)
    assert prepared_parts == [], "refused once, refused again without reading"
    run(meshes, memory, retry_failed=True)
    assert len(prepared_parts) == len(BAD)
    prepared_parts.clear()

    (meshes / "empty.obj").write_text(box(1, 1, 1))
    summary = run(meshes, memory)
    assert prepared_parts == [("empty", ("views", "points", "voxels_16"))]
    assert (summary["objects"], summary["failed"]) == (5, len(BAD) - 1)
    (meshes / "empty.obj").write_text("broken again")
    summary = run(meshes, memory)
    assert (summary["objects"], summary["failed"]) == (4, len(BAD))
    assert not any("empty" in path for path in contents(memory)), "its old files are gone"


def test_only_bad_meshes(tmp_path: Path, memory: str, run: Prepare) -> None:
    (tmp_path / "bad.obj").write_bytes(b"")
    with pytest.raises(UserError, match=r"none of 1 meshes can be used; the first: .*empty"):
        run(tmp_path, memory)


def test_captions_stay_and_grow(meshes: Path, memory: str, run: Prepare, tmp_path: Path) -> None:
    more = tmp_path / "more.csv"
    more.write_text("file,caption,language\ntall.obj,высокий стул,ru\ntall.obj,tall,en\n")
    run(meshes, memory)
    summary = run(meshes, memory, captions=(str(more),))
    assert (summary["prepared"], summary["captions_added"]) == (0, 1)
    library = Library.open(memory)
    rows = [("tall", "en"), ("chair", "en"), ("высокий стул", "ru")]
    assert library.captions["meshes-chair-tall"] == rows
    assert library.objects[0].captions == {"en": 2, "ru": 1}
    fresh = run(meshes, f"{memory}/fresh", captions=(str(more),))
    assert fresh["captions_added"] == 1
    assert Library.open(f"{memory}/fresh").captions == library.captions
    # What the user took out by hand stays out.
    text = "object_id,caption\nmeshes-chair-tall,a throne\n"
    Store(memory).write_bytes("captions.csv", text.encode())
    run(meshes, memory)
    captions = Library.open(memory).captions
    assert captions["meshes-chair-tall"] == [("a throne", "en")]
    assert captions["meshes-table-cube"] == [("cube", "en"), ("table", "en")]


def test_splits(meshes: Path, memory: str, run: Prepare, box: Box) -> None:
    for number in range(12):
        (meshes / "chair" / f"copy{number}.obj").write_text(box(2, 2 + number / 1000, 2))
        (meshes / "chair" / f"own{number}.obj").write_text(box(1, 1 + number, 1 + 2 * number))
    run(meshes, memory, views=0, points=0)
    together = {entry.object_id: entry.split for entry in Library.open(memory).objects}
    assert len({split for name, split in together.items() if "copy" in name}) == 1
    run(meshes, memory, views=0, points=0, split="ids")
    alone = {entry.object_id: entry.split for entry in Library.open(memory).objects}
    assert len({split for name, split in alone.items() if "copy" in name}) > 1
    run(meshes, memory, views=0, points=0, split="none")
    assert {entry.split for entry in Library.open(memory).objects} == {None}


def test_given_splits_are_kept(tmp_path: Path, memory: str, run: Prepare, box: Box) -> None:
    for split in ("train", "test"):
        (tmp_path / "set" / "chair" / split).mkdir(parents=True)
        (tmp_path / "set" / "chair" / split / f"{split}.obj").write_text(box(1, 2, len(split)))
    run(tmp_path / "set", memory)
    found = {entry.object_id: entry.split for entry in Library.open(memory).objects}
    assert found["set-chair-test-test"] == "test"
    assert found["set-chair-train-train"] != "test"


@pytest.mark.parametrize("spacing", ["stratified", "poisson"])
def test_the_first_points_show_the_whole_object(
    meshes: Path, memory: str, run: Prepare, spacing: str
) -> None:
    run(meshes, memory, points=2000, spacing=spacing, views=0)
    library = Library.open(memory)
    for entry in library.objects:
        points = np.load(io.BytesIO(library.read_bytes(entry.points or "")), allow_pickle=False)
        spread = np.abs(points[:200].mean(axis=0) - points.mean(axis=0))
        assert spread.max() < 0.1


@pytest.mark.parametrize("cameras", ["even", "upper", "random", "turntable"])
@pytest.mark.parametrize("fov", [0.0, 0.9])
def test_cameras(meshes: Path, memory: str, run: Prepare, cameras: str, fov: float) -> None:
    run(meshes, memory, cameras=cameras, fov=fov, views=5, points=0)
    library = Library.open(memory)
    placed = [
        Camera.from_json(json.loads(library.read_bytes(path)), path)
        for entry in library.objects[:2]
        for path in entry.cameras
    ]
    origins = np.array([camera.origin for camera in placed])
    assert np.linalg.norm(origins, axis=1) == pytest.approx(2)
    if fov:
        assert {camera.fov for camera in placed} == {fov}
    if cameras == "turntable":
        assert np.ptp(origins[:, 1]) < 1e-9
    else:
        assert not np.allclose(origins[:5], origins[5:]), "each object has a turn of its own"


def test_nothing_to_make(meshes: Path, memory: str, run: Prepare) -> None:
    with pytest.raises(UsageError, match="all 0"):
        run(meshes, memory, views=0, points=0, voxel_size=(0,))
    with pytest.raises(UsageError, match="memory only"):
        run(meshes, memory, cluster="auto")
    with pytest.raises(UserError, match="neither a folder that exists"):
        run("nowhere-at-all", memory)


def test_a_table_that_is_none(meshes: Path, memory: str, run: Prepare) -> None:
    for name, data in {
        "metadata.json": b"[1]",
        "failed.csv": b"a,b\n1,2\n",
        "captions.csv": b"x\n",
    }.items():
        store = Store(f"{memory}/{name}")
        store.write_bytes(name, data)
        with pytest.raises(UserError, match=name):
            run(meshes, store.root)


def test_textures_named_in_an_older_code_page(
    meshes: Path, memory: str, run: Prepare, caplog: pytest.LogCaptureFixture
) -> None:
    (meshes / "chair" / "paint.mtl").write_bytes(
        b"newmtl paint\nmap_Kd " + "дуб.png".encode("cp1251") + b"\n"
    )
    assert run(meshes, memory)["prepared"] == 4
    entry = Library.open(memory).objects[0]
    assert entry.dependencies["дуб.png"] == "" and entry.dependencies["paint.mtl"]
    assert run(meshes, memory)["unchanged"] == 4
    messages = [record.getMessage() for record in caplog.records]
    cube = meshes / "table" / "cube.obj"
    assert f"{cube}: without its material library paint.mtl" in messages
    Image.new("RGB", (2, 2), (0, 0, 255)).save(meshes / "chair" / "дуб.png")
    assert run(meshes, memory)["prepared"] == 2
