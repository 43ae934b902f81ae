"""Pictures of every common format, and what is none."""

import io
import os

import numpy as np
import pytest
from PIL import Image

from triform.base.errors import UserError
from triform.images import read
from triform.images.read import on_background, read_image

COLORS = np.arange(6 * 4 * 3, dtype=np.uint8).reshape(6, 4, 3) * 3


def encoded(image, format, **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "WEBP"])
def test_lossless_formats(format, tmp_path):
    path = tmp_path / "a.picture"
    path.write_bytes(
        encoded(Image.fromarray(COLORS), format, **{"lossless": True} if format == "WEBP" else {})
    )
    image = read_image(path)
    assert image.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(image), COLORS)
    np.testing.assert_array_equal(np.asarray(read_image(path.read_bytes())), COLORS)


def test_modes():
    grey = Image.fromarray(COLORS[..., 0])
    assert read_image(encoded(grey, "PNG")).mode == "RGB"
    deep = Image.fromarray((COLORS[..., 0].astype(np.uint16) << 8) + 7)
    np.testing.assert_array_equal(
        np.asarray(read_image(encoded(deep, "PNG")))[..., 0], COLORS[..., 0]
    )
    clear = Image.fromarray(np.dstack([COLORS, np.full((6, 4), 9, np.uint8)]))
    assert read_image(encoded(clear, "PNG")).mode == "RGBA"
    palette = Image.new("P", (5, 5))
    assert read_image(encoded(palette, "GIF", transparency=0)).mode == "RGBA"


def test_turned_as_the_camera_said():
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    data = encoded(Image.fromarray(COLORS), "PNG", exif=exif)
    np.testing.assert_array_equal(np.asarray(read_image(data)), np.rot90(COLORS, -1))


def test_background_shows_where_it_is_transparent():
    rgba = np.zeros((2, 2, 4), np.uint8)
    rgba[0, 0], rgba[1, 1] = (10, 20, 30, 255), (0, 0, 0, 128)
    result = np.asarray(on_background(Image.fromarray(rgba), (255, 255, 255)))
    assert result[0, 0].tolist() == [10, 20, 30] and result[0, 1].tolist() == [255, 255, 255]
    assert abs(int(result[1, 1, 0]) - 127) <= 1


def test_what_is_no_picture_is_one_line(tmp_path, monkeypatch):
    whole = encoded(Image.fromarray(COLORS), "PNG")
    cases = {
        "empty.png": (b"", "empty"),
        "text.png": (b"I am a chair", "damaged or no picture; expected PNG"),
        "half.png": (whole[: len(whole) // 2], "damaged or no picture"),
        "vector.svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no picture"),
        "script.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no picture"),
    }
    for name, (data, message) in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UserError, match=message) as caught:
            read_image(tmp_path / name)
        assert name in str(caught.value) and "\n" not in str(caught.value)
    for path in (tmp_path / "none.png", tmp_path, "bad\0name"):
        with pytest.raises(UserError, match=r"not there|not a file|cannot be read|null"):
            read_image(path)
    monkeypatch.setattr(read, "LARGEST_PIXELS", 20)
    with pytest.raises(UserError, match="4 x 6 pixels are too many"):
        read_image(whole)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(UserError, match="not a file"):
        read_image(tmp_path / "pipe.png")
