import json

import numpy as np
import pytest
from PIL import Image

from triform.base.settings.config import Settings
from triform.geometry.mesh import Mesh
from triform.search.gallery import create_gallery
from triform.systems.retrieval.gallery.entries import encode_tile
from triform.web.outcome import add_photo_tiles, add_tiles, describe_outcome, measure

CORNERS = np.array([(x, y, z) for x in (0, 2) for y in (0, 1) for z in (0, 1)], float)
FACES = np.array(
    [
        *((0, 1, 3), (0, 3, 2), (4, 6, 7), (4, 7, 5), (0, 4, 5), (0, 5, 1)),
        *((2, 3, 7), (2, 7, 6), (0, 2, 6), (0, 6, 4), (1, 5, 7), (1, 7, 3)),
    ]
)
BOX = Mesh(CORNERS, FACES)
VECTOR = np.eye(1, 2, dtype=np.float32)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "files").mkdir()
    return tmp_path


def test_measures_of_a_box_by_hand():
    """2 x 1 x 1 with a longest side of 100 mm: 100 x 50 x 50 mm, 250 cm3."""
    expected = {"size_mm": [100, 50, 50], "volume_cm3": 250, "watertight": True}
    assert measure(BOX, 100) == {**expected, "parts": 1, "faces": 12}
    assert measure(BOX, 0) == measure(BOX, 100)
    two = Mesh(np.concatenate([CORNERS, CORNERS + 5]), np.concatenate([FACES, FACES + 8]))
    assert measure(two, 70)["parts"] == 2 and measure(two, 70)["size_mm"] == [70, 60, 60]
    opened = Mesh(CORNERS, FACES[1:])
    assert measure(opened, 20)["volume_cm3"] is None and not measure(opened, 20)["watertight"]


def test_answers_are_plain_and_hold_no_path(folder):
    rows = [
        {"mesh": BOX, "files": [str(folder / "files" / "a" / "b.glb")], "nan": float("nan")},
        {"mesh": None, "path": "/some/where/chairs/stool.obj", "share": np.float32(0.5)},
    ]
    answer = describe_outcome(rows, Settings(), folder)["answer"]
    assert answer[0]["files"] == ["a/b.glb"] and answer[0]["nan"] is None
    assert answer[0]["shape"]["volume_cm3"] == 250
    assert answer[1]["path"] == "chairs/stool.obj" and answer[1]["share"] == 0.5
    json.dumps(answer, allow_nan=False)
    with Image.open(folder / "thumbnail.webp") as image:
        assert image.size == (192, 192)


def test_the_thumbnail_of_an_image(folder):
    Image.new("RGB", (400, 100), "red").save(folder / "files" / "wide.png")
    assert describe_outcome({"images": 1}, Settings(), folder) == {"answer": {"images": 1}}
    with Image.open(folder / "thumbnail.webp") as image:
        assert image.size == (192, 48)


def test_without_an_image_there_is_no_thumbnail(folder):
    (folder / "files" / "broken.png").write_bytes(b"no image")
    assert describe_outcome(None, Settings(), folder) == {"answer": None}
    assert not (folder / "thumbnail.webp").exists()


def test_hits_have_their_images_in_the_order_of_their_ranks(folder):
    gallery = create_gallery(folder / "g.gallery", encoder="e", metric="inner_product")
    names = ("z", "a", "m")
    for name, color in zip(names, ("red", "lime", "blue"), strict=True):
        tile = encode_tile(Image.new("RGB", (128, 128), color))
        gallery.add([f"{name}#points0"], VECTOR, [{"tile": tile}], encoder="e")
    gallery.add(["bad#points0"], VECTOR, [{"tile": "bad"}], encoder="e")
    gallery.save()
    gallery.close()
    rows = [{"id": name, "similarity": 0.5} for name in (*names, "bad", "gone", "z")]
    add_tiles(rows, str(folder / "g.gallery"), folder / "files")
    tiles = ["hits/0001.webp", "hits/0002.webp", "hits/0003.webp", None, None, "hits/0001.webp"]
    assert [row.get("tile") for row in rows] == tiles
    with Image.open(folder / "files" / "hits" / "0002.webp") as image:
        assert np.abs(np.asarray(image, int) - (0, 255, 0)).max() < 8


def test_photos_that_are_found_have_small_images(folder):
    Image.new("RGB", (800, 400), "blue").save(folder / "blue.png")
    (folder / "broken.jpg").write_bytes(b"no image")
    source = [
        {"file": str(folder / name), "similarity": 0.5} for name in ("blue.png", "broken.jpg")
    ]
    rows = describe_outcome(source, Settings(), folder)["answer"]
    assert rows[0]["tile"] == "hits/0001.webp" and "tile" not in rows[1]
    assert rows[0]["file"] == f"{folder.name}/blue.png"
    with Image.open(folder / "files" / "hits" / "0001.webp") as image:
        assert image.size == (192, 96)
    other = [{"file": "x"}, "text"]
    add_photo_tiles(other, other, folder)
    assert other == [{"file": "x"}, "text"]
