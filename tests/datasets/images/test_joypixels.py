"""The maker that is kept for tests: read by code points, refused to whoever trains."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from triform.base.errors import UsageError, UserError
from triform.datasets.captioned import emoji as captioned
from triform.datasets.captioned.load import load_captioned
from triform.datasets.images import joypixels, load
from triform.datasets.images.emoji_drawings import short_key
from triform.datasets.images.table import ImageTable

NAMES = {"2b50": "star", "1f468-200d-1f373": "man cook", "1f335": "cactus"}


@pytest.fixture
def folder(tmp_path) -> Path:
    """A star and a cook, named as the maker names files, and a skin tone that has no name."""
    position = tmp_path / "joypixels" / "assets" / "package" / "png" / "128"
    position.mkdir(parents=True)
    for code, color in (("2b50", "gold"), ("1f468-1f373", "red"), ("1f468-1f3fb-1f373", "blue")):
        Image.new("RGBA", (128, 128), color).save(position / f"{code}.png")
    return tmp_path / "joypixels"


def test_code_points_without_joiners_and_selectors():
    assert short_key("1F468-200D-2695-FE0F") == "1f468-2695"


def test_drawings_are_named_by_their_code_points(folder):
    table = joypixels.load(folder, NAMES, 8)
    named = {
        table.classes[label]: image for label, image in zip(table.labels, table.images, strict=True)
    }
    assert set(named) == {"star", "man cook"} and table.images.shape == (2, 8, 8, 4)
    assert (named["star"] == [255, 215, 0, 255]).all()
    assert (named["man cook"] == [255, 0, 0, 255]).all()
    assert table.rows("test").tolist() == [0, 1] and list(table.splits) == ["test"]
    assert table.maker_names == ("joypixels",)


@pytest.mark.parametrize("damage", ["empty", "cut"])
def test_damaged_is_one_line(folder, damage):
    for path in (folder / "assets").rglob("*.png"):
        path.unlink() if damage == "empty" else path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(UserError, match="incomplete or damaged") as error:
        joypixels.load(folder, NAMES)
    assert "\n" not in str(error.value)


def test_nobody_trains_on_it(tmp_path):
    with pytest.raises(UsageError, match="joypixels is kept for tests"):
        load.load_images("joypixels", download_path=tmp_path)
    assert not any(tmp_path.iterdir())  # refused before anything is brought


def test_its_training_part_is_the_other_makers(monkeypatch):
    """The table for the captioner holds the unseen maker in the test part alone."""
    known = table("emoji", ["star", "star", "cactus", "star"], [0, 1, 0, 2], ("a", "b", "twemoji"))
    unseen = table("joypixels", ["star", "man cook", "cactus"], [0, 0, 0], ("joypixels",))
    monkeypatch.setattr(
        captioned, "load_images", lambda name, **_: known if name == "emoji" else unseen
    )
    monkeypatch.setattr(captioned, "_VAL_SHARE", 0.0)
    found = load_captioned("joypixels")
    names = [found.images.name(row) for row in range(len(found))]
    assert [names[row] for row in found.rows("train")] == ["star (a)", "star (b)", "cactus (a)"]
    # a name that nobody drew for the training cannot be asked for
    assert [names[row] for row in found.rows("test")] == ["star (joypixels)", "cactus (joypixels)"]
    assert list(found.splits) == ["train", "test"]
    assert found.contents == ("star", "star", "cactus", "star", "cactus")
    for row, color in zip(found.rows("test"), unseen.images[[0, 2], 0, 0], strict=True):
        assert (found.images.image(int(row)) == color).all()


def table(name: str, drawn: list[str], makers: list[int], maker_names: tuple[str, ...]):
    classes = ("star", "cactus", "man cook")
    images = np.zeros((len(drawn), 4, 4, 3), np.uint8)
    images += np.arange(1, len(drawn) + 1, dtype=np.uint8)[:, None, None, None] * len(name)
    labels = np.array([classes.index(each) for each in drawn])
    return ImageTable(name, images, labels, classes, np.array(makers), maker_names)
