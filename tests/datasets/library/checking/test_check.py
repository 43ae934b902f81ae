"""`triform shapes check`: whatever is wrong with a library is said, with its place."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
from sphere_library import camera, points_of_ball, write_library

from triform.base.errors import UserError
from triform.datasets.library.checking.check import check_library
from triform.datasets.library.checking.problems import Problem, as_lines
from triform.datasets.library.commands import main


def check(folder: Path, *, quick: bool = False) -> dict[str, list[str]]:
    """Problems by level, as lines."""
    report = check_library(str(folder), quick=quick, workers=1)
    found: dict[str, list[str]] = {"error": [], "warning": []}
    for problem in report.problems:
        assert "\n" not in problem.line and problem.remedy and problem.file
        found[problem.level].append(problem.line)
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "library"
    return write_library(folder, voxels=16, colors=True)


@pytest.fixture
def library(whole: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return shutil.copytree(whole, tmp_path / "library")


def test_a_whole_library_of_somebody_else_is_fine(whole: Path) -> None:
    assert check(whole) == {"error": [], "warning": []}
    assert check(whole, quick=True) == {"error": [], "warning": []}
    counts = check_library(str(whole)).counts
    assert counts["objects"] == 3 and counts["images"] == counts["cameras"] == 6
    assert counts["point clouds"] == counts["voxels"] == 3


def test_the_smallest_documented_library_is_fine(tmp_path: Path) -> None:
    """No cameras, depths, colours, voxels or metadata.json; captions alone."""
    folder = write_library(tmp_path / "a", cameras=False, depths=False)
    assert check(folder) == {"error": [], "warning": []}


def test_image_library_without_captions(tmp_path: Path) -> None:
    """The layout for an image model: metadata.json instead of captions, in forms people write."""
    names = ("ball1", "ball2")
    folder = write_library(tmp_path / "a", captions=False, names=names, cameras=False)
    assert any(p.kind == "no table" for p in check_library(str(folder)).problems)
    pairs = [(f"{n}_view{v}.png", f"{n}.npy") for n in names for v in (1, 2)]
    forms = [
        {
            n: {"images": [f"images/{n}_view{v}.png" for v in (1, 2)], "points": f"points/{n}.npy"}
            for n in names
        },
        {n: {"images": [f"{n}_view1.png", f"{n}_view2.png"], "points": f"{n}.npy"} for n in names},
        {"objects": [{"id": n, "images": [f"{n}_view1.png", f"{n}_view2.png"]} for n in names]},
        [
            {"image": f"./images/{image}", "point_cloud": points_array}
            for image, points_array in pairs
        ],
        {f"images/{image}": f"points/{points_array}" for image, points_array in pairs},
    ]
    for form in forms:
        (folder / "metadata.json").write_text(json.dumps(form))
        found = check(folder)
        assert found["error"] == [], form
        assert [line.partition(":")[0] for line in found["warning"]] == ["captions.csv"]


def test_transposed_point_clouds_are_read_with_a_warning(tmp_path: Path) -> None:
    found = check(write_library(tmp_path / "a", transposed=True))
    assert found["error"] == []
    assert len(found["warning"]) == 1 and "3 of 3 point clouds are (3, N)" in found["warning"][0]


def edit_captions(*rows: str, header: str = "object_id,caption") -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / "captions.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")

    return write


def save(path: str, values: np.ndarray) -> Callable[[Path], None]:
    return lambda folder: np.save(folder / path, values)


def write(path: str, data: bytes) -> Callable[[Path], None]:
    def put(folder: Path) -> None:
        (folder / path).write_bytes(data)

    return put


def remove(path: str) -> Callable[[Path], None]:
    return lambda folder: (folder / path).unlink()


def edit_camera(**changes: object) -> Callable[[Path], None]:
    def put(folder: Path) -> None:
        path = folder / "cameras/ball1_view1.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return put


def image(path: str, size: tuple[int, int] = (32, 32), mode: str = "RGBA") -> Callable:
    """An image of nothing but white."""
    fill = {"RGBA": (255,) * 4, "RGB": (255,) * 3, "I;16": 30000}[mode]
    return lambda folder: Image.new(mode, size, fill).save(folder / path)


def cut(path: str, share: float = 0.6) -> Callable[[Path], None]:
    def put(folder: Path) -> None:
        data = (folder / path).read_bytes()
        (folder / path).write_bytes(data[: int(len(data) * share)])

    return put


def replace_depth(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def put(folder: Path) -> None:
        path = folder / "depth/ball1_view1.png"
        values = np.asarray(Image.open(path)).astype(np.uint16)
        Image.fromarray(change(values).astype(np.uint16)).save(path)

    return put


def put_depth_off(folder: Path) -> None:
    """A fifth of the object too far, where points are close enough to notice."""
    np.save(folder / "points/ball1.npy", points_of_ball(4000))
    (folder / "colors/ball1.npy").unlink()
    replace_depth(lambda d: np.where(d < 65535, d + 2600, d))(folder)


GOOD = [f"ball{number},a ball" for number in (1, 2, 3)]
NAN = points_of_ball(200)
NAN[7, 1] = np.nan
CAMERA = camera((1, 0.5, 0))
BREAKAGES = {
    # What is done, what is said in one line (all parts), whether the quick check sees it, too.
    "header": (
        edit_captions(*GOOD, header="name,text"),
        ["captions.csv, row 1", "name,text"],
        True,
    ),
    "unknown": (edit_captions(*GOOD, "bal1,x"), ["row 5", "'bal1'", "perhaps 'ball1'"], True),
    "cells": (edit_captions(*GOOD, "ball1,red, round"), ["row 5", "3 cells", "quotes"], True),
    "empty": (edit_captions(*GOOD, "ball1,"), ["row 5", "empty"], True),
    "quote": (edit_captions(*GOOD, 'ball1,"red'), ["row 5", "not CSV"], True),
    "latin": (
        write("captions.csv", b"object_id,caption\nball1,\xe9t\xe9\n"),
        ["row 2", "UTF-8"],
        True,
    ),
    "tables": (remove("captions.csv"), ["metadata.json", "neither is captions.csv"], True),
    "json": (write("metadata.json", b'{"a": '), ["metadata.json", "not JSON"], True),
    "form": (write("metadata.json", b'{"a": 3}'), ["metadata.json", "'a' holds a int"], True),
    "named": (
        write("metadata.json", b'{"ball1": {"images": ["ball1_view9.png"]}}'),
        ["images/ball1_view9.png", "not there", "metadata.json names it"],
        True,
    ),
    "no cloud": (remove("points/ball2.npy"), ["points/ball2.npy", "no point cloud"], True),
    "no view": (remove("images/ball2_view2.png"), ["'ball2' lacks views 2"], True),
    "no depth": (
        remove("depth/ball2_view2.png"),
        ["depth/ball2_view2.png", "no depth"],
        True,
    ),
    "no camera": (remove("cameras/ball3_view1.json"), ["ball3_view1.json", "no camera"], True),
    "nothing": (write("points/ball1.npy", b""), ["points/ball1.npy", "no bytes"], True),
    "wide": (save("points/ball1.npy", np.zeros((200, 4), "f4")), ["ball1.npy", "(200, 4)"], True),
    "six": (save("points/ball1.npy", np.zeros((6, 200), "f4")), ["(6, 200)", "colors/ID"], True),
    "one": (save("points/ball1.npy", np.zeros(600, "f4")), ["ball1.npy", "(600,)"], True),
    "none": (save("points/ball1.npy", np.zeros((0, 3), "f4")), ["ball1.npy", "no points"], True),
    "whole numbers": (
        save("points/ball1.npy", np.zeros((200, 3), int)),
        ["int64", "float32"],
        True,
    ),
    "objects": (save("points/ball1.npy", np.array([None, 1])), ["ball1.npy", "unpickled"], True),
    "no array": (write("points/ball1.npy", b"1 2 3\n" * 40), ["ball1.npy", "not an array"], True),
    "NaN": (save("points/ball1.npy", NAN), ["ball1.npy", "1 of 200 points are NaN"], False),
    "same": (
        save("points/ball1.npy", np.zeros((200, 3), "f4")),
        ["200 points are the same"],
        False,
    ),
    "cut cloud": (cut("points/ball1.npy"), ["ball1.npy", "cut off"], False),
    "colours": (
        save("colors/ball1.npy", np.zeros((199, 3), "u1")),
        ["colors/ball1.npy", "(199, 3)", "200 points"],
        True,
    ),
    "colours type": (
        save("colors/ball1.npy", np.zeros((200, 3), int)),
        ["colors/ball1.npy", "int64", "uint8"],
        True,
    ),
    "colours range": (
        save("colors/ball1.npy", np.full((200, 3), 200, "f4")),
        ["colors/ball1.npy", "200"],
        False,
    ),
    "no image": (
        write("images/ball1_view1.png", b"GIF89a" * 9),
        ["ball1_view1.png", "not a PNG"],
        True,
    ),
    "cut image": (cut("images/ball1_view1.png"), ["ball1_view1.png", "decoded"], False),
    "size": (image("images/ball1_view1.png", (30, 32)), ["ball1_view1.png", "30 x 32"], True),
    "depth size": (
        image("depth/ball1_view1.png", (16, 16), "I;16"),
        ["depth/ball1_view1.png", "16 x 16", "32 x 32"],
        True,
    ),
    "depth form": (
        image("depth/ball1_view1.png", mode="RGB"),
        ["depth/ball1_view1.png", "16-bit"],
        True,
    ),
    "depth everywhere": (
        replace_depth(lambda d: np.where(d == 65535, 20000, d)),
        ["depth/ball1_view1.png", "disagrees with the image's alpha"],
        False,
    ),
    "depth far": (
        put_depth_off,
        ["depth/ball1_view1.png", "away from the points"],
        False,
    ),
    "camera JSON": (
        write("cameras/ball1_view1.json", b"{"),
        ["ball1_view1.json", "no readable"],
        True,
    ),
    "camera key": (
        write("cameras/ball1_view1.json", json.dumps({"origin": [1, 2, 3]}).encode()),
        ["ball1_view1.json", "x, y, z"],
        True,
    ),
    "camera axes": (edit_camera(x=[1, 1, 0]), ["ball1_view1.json", "perpendicular"], True),
    "camera numbers": (edit_camera(x="left"), ["ball1_view1.json"], True),
    "camera mirrored": (
        edit_camera(x=[-v for v in CAMERA["x"]]),
        ["ball1_view1.json", "left-handed"],
        True,
    ),
    "camera away": (
        edit_camera(x=[-v for v in CAMERA["x"]], z=[-v for v in CAMERA["z"]]),
        ["ball1_view1.json", "looks away"],
        True,
    ),
    "camera elsewhere": (
        edit_camera(origin=[2.0, 1.6, 0.6]),
        ["ball1_view1.png", "points are not where"],
        False,
    ),
    "voxels": (write("voxels/ball1_16.npz", b"no archive"), ["ball1_16.npz", "not an npz"], True),
    "cut voxels": (cut("voxels/ball1_16.npz"), ["ball1_16.npz"], False),
    "voxel size": (
        lambda folder: np.savez(folder / "voxels/ball1_16.npz", voxels=np.ones((8, 8, 8), bool)),
        ["ball1_16.npz", "(8, 8, 8)", "16^3"],
        False,
    ),
    "no voxel": (
        lambda folder: np.savez(folder / "voxels/ball1_16.npz", voxels=np.zeros((16,) * 3, bool)),
        ["ball1_16.npz", "no voxel is occupied"],
        False,
    ),
    "other voxels": (
        lambda folder: np.savez(
            folder / "voxels/ball1_16.npz", voxels=np.arange(16**3).reshape((16,) * 3) < 2000
        ),
        ["ball1_16.npz", "points lie in no voxel"],
        False,
    ),
}


@pytest.mark.parametrize("name", BREAKAGES)
def test_what_is_broken_is_said(library: Path, name: str) -> None:
    change, words, found_by_quick = BREAKAGES[name]
    change(library)
    found = check(library)
    assert any(all(word in line for word in words) for line in found["error"]), found
    # One thing is broken, and not a page is said about it.
    assert len(found["error"]) <= 3, found
    quickly = check(library, quick=True)["error"]
    assert any(all(word in line for word in words) for line in quickly) == found_by_quick, quickly


WARNINGS = {
    "twice": (edit_captions(*GOOD, GOOD[0]), ["captions.csv, row 5", "in row 2"]),
    "no caption": (edit_captions(*GOOD[:2]), ["captions.csv", "'ball3' has no caption"]),
    "column": (
        edit_captions("ball1,a,x", "ball2,a,x", "ball3,a,x", header="object_id,caption,mood"),
        ["row 1", "'mood'"],
    ),
    "stray": (write("images/ball1.jpg", b"x"), ["images/ball1.jpg", "belongs to no object"]),
    "double": (
        save("points/ball1.npy", points_of_ball(200).astype("f8")),
        ["ball1.npy", "float64"],
    ),
    "large": (save("points/ball1.npy", points_of_ball(200) * 4), ["ball1.npy", "reaches to 1.99"]),
    "more points": (save("points/ball1.npy", points_of_ball(300)), ["ball1.npy", "300", "200"]),
    "no alpha": (image("images/ball1_view1.png", mode="RGB"), ["ball1_view1.png", "is RGB"]),
    "orphan": (
        write("cameras/ball1_view7.json", json.dumps(CAMERA).encode()),
        ["ball1_view7.json", "images/ball1_view7.png"],
    ),
    "no voxels": (remove("voxels/ball2_16.npz"), ["ball2_16.npz", "--voxel_size 16"]),
    "no colours": (remove("colors/ball2.npy"), ["colors/ball2.npy", "not there"]),
}


@pytest.mark.parametrize("name", WARNINGS)
def test_what_may_be_meant_otherwise(library: Path, name: str) -> None:
    change, words = WARNINGS[name]
    change(library)
    found = check(library)
    assert any(all(word in line for word in words) for line in found["warning"]), found


def test_blank_images_are_told(library: Path) -> None:
    Image.new("RGBA", (32, 32)).save(library / "images/ball1_view1.png")
    Image.new("RGBA", (32, 32), (0, 0, 0, 255)).save(library / "images/ball2_view1.png")
    message = "\n".join(check(library)["warning"])
    assert "ball1_view1.png: shows nothing: alpha" in message
    assert "ball2_view1.png: shows nothing but black" in message


def test_command(library: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(library)]) == 0
    assert "3 objects, 6 images" in (message := capsys.readouterr().out)
    assert message.endswith("nothing is wrong\n")
    for number in (1, 2, 3):
        (library / f"points/ball{number}.npy").write_bytes(b"")
    (library / "images/ball1.jpg").write_bytes(b"x")
    assert main(["check", str(library), "--max_lines", "1"]) == 1
    message = capsys.readouterr().out
    assert "points/ball1.npy" in message and "points/ball2.npy" not in message
    assert "2 more (--max_lines 0: all)" in message and message.endswith("3 errors, 1 warning\n")
    assert main(["check", str(library), "--quick", "true", "--json"]) == 1
    summary = json.loads(capsys.readouterr().out)
    assert summary["errors"] == 3 and summary["warnings"] == 1 and summary["objects"] == 3
    assert {"level", "kind", "file", "row", "problem", "remedy"} == set(summary["problems"][0])


def test_no_library(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UserError, match="no shape library"):
            check_library(str(place))


def test_many_processes_say_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_library(tmp_path / "a", views=1, size=8, points=20)
    (folder / "points/ball2.npy").write_bytes(b"nothing of the kind")
    monkeypatch.setattr("triform.datasets.library.checking.check._MIN_PARALLEL", 1)
    assert check_library(str(folder), workers=2) == check_library(str(folder), workers=1)


def test_in_memory(whole: Path) -> None:
    """Any address that fsspec knows."""
    import fsspec

    files = fsspec.filesystem("memory")
    for path in whole.rglob("*"):
        if path.is_file():
            files.pipe_file(f"/checked/{path.relative_to(whole).as_posix()}", path.read_bytes())
    assert check_library("memory://checked").problems == ()
    files.pipe_file("/checked/points/ball2.npy", b"broken")
    problems = check_library("memory://checked", quick=True).problems
    assert [problem.file for problem in problems] == ["points/ball2.npy"]


def test_lines_group_by_kind() -> None:
    problems = [Problem("error", "a", f"f{n}", 0, "is wrong", "mend it") for n in range(9)]
    problems += [Problem("warning", "b", "g", 3, "is odd", "see to it")]
    lines = as_lines(problems, 2)
    assert lines[:2] == ["error: f0: is wrong; mend it", "error: f1: is wrong; mend it"]
    assert "7 more" in lines[2] and lines[3] == "warning: g, row 3: is odd; see to it"
    assert len(as_lines(problems, 0)) == 10
