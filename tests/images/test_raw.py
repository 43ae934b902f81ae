"""RAW photos: the preview, or the developed mosaic; orientation, date, damage."""

import numpy as np
import pytest
from dng import dng
from PIL import Image

from triform.base.errors import UserError
from triform.images.raw import read_raw

pytest.importorskip("rawpy")

DATE = "2023:04:05 06:07:08"
TURNS = {
    1: None,
    3: Image.Transpose.ROTATE_180,
    6: Image.Transpose.ROTATE_270,
    8: Image.Transpose.ROTATE_90,
}


def mosaic() -> np.ndarray:
    """Brighter from left to right, the upper half red."""
    values = np.tile(np.linspace(3000, 60000, 64), (48, 1))
    is_red = np.zeros((48, 64), bool)
    is_red[0::2, 0::2] = True
    values[:24][~is_red[:24]] *= 0.2
    return values.astype(np.uint16)


def preview() -> Image.Image:
    pixels = np.zeros((24, 32, 3), np.uint8)
    pixels[:12, :16] = (200, 40, 20)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("orientation", TURNS)
def test_preview_is_turned_and_the_size_is_that_of_the_sensor(orientation):
    photo = read_raw(dng(mosaic(), preview(), orientation=orientation, date=DATE), "a.dng")
    turn = TURNS[orientation]
    expected = preview() if turn is None else preview().transpose(turn)
    assert photo.image.size == expected.size
    difference = np.asarray(photo.image, int) - np.asarray(expected, int)
    assert np.abs(difference).mean() < 4
    assert (photo.width, photo.height) == ((48, 64) if orientation in (6, 8) else (64, 48))
    assert photo.taken == "2023-04-05T06:07:08"


@pytest.mark.parametrize("orientation", TURNS)
def test_mosaic_is_developed_where_there_is_no_preview(orientation):
    photo = read_raw(dng(mosaic(), None, orientation=orientation, date=DATE), "a.dng", longest=30)
    back = {1: 0, 3: 180, 6: 90, 8: 270}[orientation]
    pixels = np.asarray(photo.image.rotate(back, expand=True), int)
    assert max(photo.image.size) == 30
    assert (photo.width, photo.height) == ((48, 64) if orientation in (6, 8) else (64, 48))
    left, right = pixels[:, :8].mean(), pixels[:, -8:].mean()
    assert right > left + 50
    upper, lower = pixels[3:9, 10:20].mean((0, 1)), pixels[-9:-3, 10:20].mean((0, 1))
    assert upper[0] - upper[2] > lower[0] - lower[2] + 20


@pytest.mark.parametrize("data", [b"", b"II*\0" + b"\0" * 50, b"junk" * 100, "cut"])
def test_damage_is_one_line(data):
    if data == "cut":
        data = dng(mosaic(), None, orientation=1, date=DATE)[:500]
    with pytest.raises(UserError, match=r"^a\.dng: damaged or no RAW photo \([^\n']+\)$"):
        read_raw(data, "a.dng")


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match="not there"):
        read_raw(tmp_path / "a.nef")
