"""Listing shapes in folders of any kind."""

import json
import os
from pathlib import Path

import pytest

from triform.base.errors import UserError
from triform.datasets.listing import list_shapes

CUBE = "\n".join(
    [
        *(f"v {x} {y} {z}" for x in (0, 1) for y in (0, 1) for z in (0, 1)),
        "f 1 2 4 3",
        "f 5 7 8 6",
        "",
    ]
)


def put(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(CUBE)
    return root


def test_class_folders_with_splits(tmp_path: Path) -> None:
    put(
        tmp_path / "ModelNet10",
        "chair/train/chair_0001.off",
        "chair/test/chair_0900.off",
        "night_stand/train/night_stand_0001.OFF",
        "__MACOSX/chair/x.off",
        "chair/.hidden.off",
    )
    shapes = list_shapes([tmp_path / "ModelNet10"])
    assert [(s.object_id, s.captions, s.category, s.split) for s in shapes] == [
        ("ModelNet10/chair/test/chair_0900", ("chair",), "chair", "test"),
        ("ModelNet10/chair/train/chair_0001", ("chair",), "chair", "train"),
        ("ModelNet10/night_stand/train/night_stand_0001", ("night stand",), "night stand", "train"),
    ]


def test_a_class_folder_of_a_marked_data_set_keeps_its_ids(tmp_path: Path) -> None:
    root = put(tmp_path / "modelnet10", "ModelNet10/chair/train/chair_0001.off")
    marker = {"name": "modelnet10", "licence": "research"}
    (root / "dataset.json").write_text(json.dumps(marker))
    whole, part = list_shapes([root]), list_shapes([root / "ModelNet10" / "chair"])
    assert [s.object_id for s in whole] == ["modelnet10/ModelNet10/chair/train/chair_0001"]
    assert part == whole
    assert list_shapes([root, root / "ModelNet10" / "chair"]) == whole  # listed once
    assert whole[0].licence == "research"


def test_names_give_captions_and_folders_help(tmp_path: Path) -> None:
    put(
        tmp_path,
        "sofas/RedSofa_2.stl",
        "sofas/0001.obj",
        "02691156/1a04e3eab45ca15dd86060f189eb133/models/model_normalized.obj",
    )
    captions = {s.object_id.split("/", 1)[1]: s.captions for s in list_shapes([tmp_path])}
    assert captions == {
        "sofas/RedSofa_2": ("red sofa", "sofas"),
        "sofas/0001": ("sofas",),
        "02691156/1a04e3eab45ca15dd86060f189eb133/models/model_normalized": (),
    }


@pytest.mark.parametrize("key", ["object_id", "file"])
def test_captions_csv(tmp_path: Path, key: str) -> None:
    put(tmp_path, "a.obj", "sub/b.glb", "c.off")
    names = {"object_id": ("a", "sub/b"), "file": ("a.obj", "b.glb")}[key]
    rows = (
        f"{key},caption,category,split\n{names[0]},a stool,stool,test\n"
        f'{names[1]},"a bed, soft",,\n{names[0]},bar stool,,\nnobody,x,,\n'
    )
    (tmp_path / "captions.csv").write_text("\ufeff" + rows, "utf-8")
    a, c, b = list_shapes([tmp_path])
    assert (a.captions, a.category, a.split) == (("a stool", "bar stool"), "stool", "test")
    assert (b.captions, b.category, b.split) == (("a bed, soft",), "sub", None)
    assert c.captions == ()


@pytest.mark.parametrize(
    "content", [b"", b"name,text\na,b\n", b"\xff\xfe\x00", b'object_id,caption\n"' + b"x" * 200_000]
)
def test_bad_captions_csv(tmp_path: Path, content: bytes) -> None:
    put(tmp_path, "a.obj")
    (tmp_path / "captions.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"captions\.csv") as error:
        list_shapes([tmp_path])
    assert "\n" not in str(error.value)


def test_order_limit_and_two_formats_of_one_name(tmp_path: Path) -> None:
    put(tmp_path, "b.obj", "a.obj", "a.stl")
    shapes = list_shapes([tmp_path])
    assert [s.object_id for s in shapes] == [
        f"{tmp_path.name}/{n}" for n in ("a.obj", "a.stl", "b")
    ]
    assert list_shapes([tmp_path], max_samples=2) == shapes[:2]
    assert list_shapes([tmp_path], max_samples=9) == shapes


def test_two_folders_of_one_name(tmp_path: Path) -> None:
    first, second = put(tmp_path / "x" / "m", "a.obj"), put(tmp_path / "y" / "m", "a.obj")
    assert [s.object_id for s in list_shapes([first, second])] == ["m/a", "m/a~2"]


def test_fingerprint_notices_a_change(tmp_path: Path) -> None:
    put(tmp_path, "a.obj")
    before = list_shapes([tmp_path])[0]
    assert list_shapes([tmp_path])[0].fingerprint == before.fingerprint
    (tmp_path / "a.obj").write_text(CUBE + "f 1 5 6 2\n")
    assert list_shapes([tmp_path])[0].fingerprint != before.fingerprint


def test_preview_beside_the_mesh(tmp_path: Path) -> None:
    put(tmp_path, "a.obj", "b.obj")
    (tmp_path / "a.png").write_bytes(b"image")
    a, b = list_shapes([tmp_path])
    assert (a.preview(), b.preview()) == (b"image", None)


def test_single_file_and_loops(tmp_path: Path) -> None:
    put(tmp_path, "d/a.obj")
    os.symlink(tmp_path / "d", tmp_path / "d" / "loop")
    assert len(list_shapes([tmp_path])) == 1
    assert list_shapes([tmp_path / "d" / "a.obj"])[0].object_id == "d/a"


@pytest.mark.parametrize(
    "make",
    [lambda p: None, lambda p: p.mkdir(), lambda p: (p.mkdir(), (p / "a.txt").write_text(""))],
)
def test_nothing_there(tmp_path: Path, make) -> None:
    make(tmp_path / "data")
    with pytest.raises(UserError, match=r"no such folder|no meshes in it"):
        list_shapes([tmp_path / "data"])


def test_what_is_left_out_of_a_folder_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path, "a.obj", "sub/b.obj", "sub/c.fbx", "d.blend", "a.mtl", "a.png", "notes.txt")
    os.symlink(tmp_path / "sub", tmp_path / "linked")
    rows = "object_id,caption\na,one\na,two\nsub/b.obj,three\nz,four\nz,five\nsub/c,six\n"
    (tmp_path / "captions.csv").write_text(rows)
    assert [len(one.captions) for one in list_shapes([tmp_path])] == [2, 1]
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2
    assert messages[0].startswith(f"{tmp_path}: left out 2 files of other kinds (1 .")
    assert messages[0].endswith("and 1 linked folder (linked)")
    assert messages[1] == f"{tmp_path}/captions.csv: 3 of 6 rows name no mesh; the first: z"
    caplog.clear()
    # A part of a data set has rows for the other parts.
    list_shapes([tmp_path / "a.obj"])
    assert not caplog.records
