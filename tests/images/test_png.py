"""Our PNG files read back by Pillow."""

import io

import numpy as np
import pytest
from PIL import Image

from triform.images.png import encode_png


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((5, 7), "uint8"), ((5, 7), "uint16"), ((1, 1), "uint8")]
    + [((6, 3, channels), "uint8") for channels in (2, 3, 4)],
)
@pytest.mark.parametrize("level", [0, 1, 9])
def test_pillow_reads_back_what_was_written(shape: tuple[int, ...], dtype: str, level: int) -> None:
    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)
    data = encode_png(pixels, level=level)
    image = Image.open(io.BytesIO(data))
    image.load()
    np.testing.assert_array_equal(np.asarray(image).reshape(shape), pixels)
    assert data == encode_png(pixels.copy(), level=level)
    assert b"tIME" not in data and b"tEXt" not in data


def test_strided_and_big_endian_pixels() -> None:
    pixels = np.arange(60, dtype=">u2").reshape(6, 10)[::2, ::-1]
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(encode_png(pixels)))), pixels)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((4, 4)),
        np.zeros((4, 4, 5), "u1"),
        np.zeros((0, 4), "u1"),
        np.zeros(3, "u1"),
        np.zeros((4, 4, 3), "u2"),
    ],
)
def test_what_is_no_image_is_refused(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="cannot be written as an image"):
        encode_png(pixels)
