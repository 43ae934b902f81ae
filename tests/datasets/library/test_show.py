"""`triform shapes show`: the images that are asked for, where they belong."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
from sphere_library import COLORS, points_of_ball, write_library

from triform.base.errors import UsageError, UserError
from triform.datasets.library.commands import main
from triform.datasets.library.default_view import default_view
from triform.datasets.library.library import Library
from triform.datasets.library.show import evenly_spaced, object_tile, select_objects, tile_label
from triform.geometry.mesh import MeshError
from triform.geometry.render.points import draw_points


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_library(tmp_path_factory.mktemp("show") / "library", views=3, colors=True)


def colors_in(image: Image.Image) -> set[str]:
    """Which balls are in an image."""
    pixels = np.asarray(image.convert("RGB")).astype(int)
    return {
        ball
        for ball, color in COLORS.items()
        if (np.abs(pixels - color).max(axis=2) <= 4).sum() > 100
    }


def test_sheet(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "new" / "sheet.png"
    assert main(["show", str(folder), "--output", str(output), "--size", "64", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["objects"] == summary["shown"] == 3 and summary["sheets"] == [str(output)]
    sheet = Image.open(output)
    assert colors_in(sheet) == set(COLORS)
    # Three in a row, as wide as their images; names below.
    assert sheet.width == 3 * (64 + 8) + 8 and sheet.height > 64 + 16
    assert (np.asarray(sheet)[-20:] < 128).any()


def test_chosen_objects(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "some.jpg"
    words = ["--output", str(output), "--size", "64", "--views", "2", "--points", "true"]
    assert main(["show", str(folder), "--objects", "ball[13]", *words]) == 0
    assert main(["show", str(folder), "--objects", "ball2", *words]) == 0
    assert colors_in(Image.open(output)) == {"ball2"}
    library = Library.open(str(folder))
    assert [entry.object_id for entry in select_objects(library, ["ball3", "*1"])] == [
        "ball3",
        "ball1",
    ]


def test_every_object_on_many_sheets(folder: Path, tmp_path: Path) -> None:
    words = ["--rows", "1", "--columns", "2", "--size", "64", "--output", str(tmp_path / "a.png")]
    assert main(["show", str(folder), "--all_objects", "true", *words]) == 0
    sheets = sorted(tmp_path.glob("*.png"))
    assert [path.name for path in sheets] == ["a-001.png", "a-002.png"]
    assert [len(colors_in(Image.open(path))) for path in sheets] == [2, 1]
    assert main(["show", str(folder), *words]) == 0
    assert len(colors_in(Image.open(tmp_path / "a.png"))) == 2


def test_wrong_words(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--output 'a\.gif'"):
        main(["show", str(folder), "--output", "a.gif"])
    with pytest.raises(UsageError, match="nothing to show"):
        main(["show", str(folder), "--views", "0"])
    with pytest.raises(UserError, match=r"no object matches --objects 'cube'; there are 'ball1'"):
        main(["show", str(folder), "--objects", "cube"])
    with pytest.raises(UserError, match="no shape library"):
        main(["show", str(tmp_path / "nowhere")])


def test_the_first_image_is_the_one_from_the_front_right_and_above(folder: Path) -> None:
    library = Library.open(str(folder))
    entry = library.objects[0]
    front = [np.sin(0.6) * np.cos(0.4), np.sin(0.4), np.cos(0.6) * np.cos(0.4)]
    cameras = [json.loads(library.read_bytes(path)) for path in entry.cameras]
    heights = [-np.array(camera["z"]) @ front for camera in cameras]
    assert default_view(library, entry) == int(np.argmax(heights))
    alone = entry.model_copy(update={"cameras": ()})
    assert default_view(library, alone) == 0


def test_damaged_images_leave_a_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_library(tmp_path / "library")
    for path in (folder / "images").glob("ball2_view*.png"):
        path.write_bytes(b"broken")
    message: list[str] = []
    monkeypatch.setattr(
        "triform.datasets.library.show.logger.warning", lambda form, *a: message.append(form % a)
    )
    output = tmp_path / "sheet.png"
    assert main(["show", str(folder), "--output", str(output), "--size", "64"]) == 0
    assert colors_in(Image.open(output)) == {"ball1", "ball3"}
    assert len(message) == 1 and "1 objects" in message[0] and "ball2_view" in message[0]


def test_one_object(folder: Path) -> None:
    library = Library.open(str(folder))
    tile = object_tile(library, library.objects[0], 3, True, 32)
    assert tile.shape == (32, 4 * 32 + 3 * 2, 4) and tile[..., 3].max() == 255
    assert tile_label(library, library.objects[0]) == "ball1 a ball, number 1"
    assert [entry.object_id for entry in evenly_spaced(library.objects, 2)] == ["ball1", "ball2"]
    assert evenly_spaced(library.objects, 9) == library.objects


def test_points_as_a_image() -> None:
    """A dense ball is a disc of the right size; near points hide far ones."""
    points = points_of_ball(20000).astype(np.float64)
    image = draw_points(points, None, 101)
    rows, columns = np.nonzero(image[..., 3])
    # The ball fills the image but for a rim of 2 %; dots are two pixels wide.
    across = 101 * 0.98
    assert abs(np.ptp(rows) + 1 - across) < 3 and abs(np.ptp(columns) + 1 - across) < 3
    assert abs(rows.mean() - 50) < 1.5 and abs(columns.mean() - 50) < 1.5
    front = np.where(points[:, 2:] > 0, [[255, 0, 0]], [[0, 0, 255]]).astype(np.uint8)
    actual = draw_points(points, front, 101, azimuth=0.0, elevation=0.0)
    middle = actual[30:70, 30:70]
    assert (middle[..., 0] > middle[..., 2]).all()
    behind = draw_points(points, front, 101, azimuth=np.pi, elevation=0.0)[30:70, 30:70]
    assert (behind[..., 2] > behind[..., 0]).all()


def test_few_points() -> None:
    assert not draw_points(np.zeros((0, 3)), None, 32).any()
    one = draw_points(np.full((1, 3), 9.0), np.full((1, 3), 255, np.uint8), 32)
    shown = one[one[..., 3] > 0]
    assert len(shown) == 4 and (shown[:, :3] < 240).all(), "white shows on white paper"
    assert draw_points(np.zeros((1, 3)), None, 32)[15:17, 15:17, 3].all()
    with pytest.raises(MeshError, match="size 1"):
        draw_points(np.zeros((1, 3)), None, 1)
